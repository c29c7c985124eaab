"""The sessions of clients over HTTP; an abandoned session ends after a time.

Clients should end theirs with DELETE. Many never do: their process dies, or they forget it.
Each costs memory. The oldest SDK has no limit; newer ones have a limit that does not release a client's
leases.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import anyio

from abe_redis.mcp.client_identity import WITHOUT_SESSIONS
from abe_redis.mcp.oauth import access_of
from abe_redis.mcp.sdk_line import SDK_2
from abe_redis.runtime import clock
from abe_redis.runtime.web import App, Receive, Scope, Send

PATH = "/mcp"
HEADER = b"mcp-session-id"

MOST_SESSIONS = 200
"""Sessions at the same time: each takes some 70 kB. Both lines of the SDK allow many more."""

_MISSED_SECONDS = 60.0
"""Idle time from which a session that holds nothing makes room for a new one when there are too many."""

_LOOKS = 4
"""Number of searches for idle sessions within the time limit."""


@dataclass(slots=True)
class _Session:
    user: Any = None
    """The owner of the token that began it, if tokens have owners; no other owner may use it."""
    whose: str = ""
    """The person, or the address, that has it."""
    is_used: bool = False
    """Whether it has answered a request; the client's notice that it is ready does not count."""
    calls: int = 0
    """Number of running requests, including open event streams."""
    used_at: float = 0.0


class Sessions:
    """The sessions of an application that serves MCP over HTTP."""

    def __init__(
        self,
        app: App,
        idle_seconds: float,
        left: Callable[[str], Awaitable[None]],
        holds: Callable[[str], bool],
    ) -> None:
        """Watch the sessions of an application.

        Args:
            app: The application.
            idle_seconds: How long a session lasts in which no request comes and none goes on.
            left: Called with a session that has ended.
            holds: Whether a session holds events.
        """
        self._holds = holds
        self._app = app
        self._idle_seconds = idle_seconds
        self._left = left
        self._open: dict[bytes, _Session] = {}
        self._opening = 0
        """Requests that may open a session, until they are answered."""
        self._last_scope: Scope | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and note whose it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = header(scope["headers"], HEADER)
        if (kept := self._open.get(known)) is not None and not _is_same(kept.user, scope.get("user")):
            await _refuse(send, HTTPStatus.NOT_FOUND, "Session not found")
            return
        opens = scope["path"] == PATH and not known and not _is_without_sessions(scope)
        if opens and scope["method"] != "POST":  # one line of the SDK would open a session all the same
            await _refuse(send, HTTPStatus.BAD_REQUEST, "Missing session ID")
            return
        if (
            opens
            and len(self._open) + self._opening >= MOST_SESSIONS
            and not await self._make_room(_whose(scope))
        ):
            await _refuse(
                send, HTTPStatus.SERVICE_UNAVAILABLE, "Too many open sessions: end one, or try later"
            )
            return
        status, made = 0, b""

        async def see(message: MutableMapping[str, Any]) -> None:
            nonlocal status, made
            if message["type"] == "http.response.start":
                status = message["status"]
                _note_use(kept, status)
                session = header(message.get("headers", ()), HEADER)
                if session and not known:
                    made = session
                    self._open[session] = _Session(scope.get("user"), _whose(scope), used_at=clock.now())
                    self._last_scope = scope
            await send(message)

        self._opening += opens
        try:
            with self._used(known):
                await self._app(scope, receive, see)
        finally:
            self._opening -= opens
        if (
            made and status != HTTPStatus.OK
        ):  # nothing was begun, and one line of the SDK keeps it all the same
            await self._end(made)
        if known and (status == HTTPStatus.NOT_FOUND or (scope["method"], status) == ("DELETE", 200)):
            await self._forget(known)

    async def run(self) -> None:
        """End sessions that are idle, until cancelled."""
        while True:
            await anyio.sleep(self._idle_seconds / _LOOKS)
            bound = clock.now() - self._idle_seconds
            idle = [one for one, kept in self._open.items() if not kept.calls and kept.used_at < bound]
            for session in idle:
                kept = self._open.get(session)
                if kept is not None and not kept.calls and kept.used_at < bound:  # nobody has woken it since
                    await self._end(session)

    async def _make_room(self, whose: str) -> bool:
        """End the least useful session.

        That is one that was never used; else one that holds nothing and is idle; else one that holds nothing
        and belongs to the owner with the most sessions, if the caller has fewer.
        """
        bound = clock.now() - _MISSED_SECONDS
        shares = Counter(kept.whose for kept in self._open.values())
        most, share = shares.most_common(1)[0] if shares else ("", 0)
        spare = []
        for session, kept in self._open.items():
            if kept.calls or (kept.is_used and self._holds(session.decode("latin-1"))):
                continue
            if not kept.is_used or kept.used_at < bound:
                spare.append((int(kept.is_used), kept.used_at, session))
            elif kept.whose == most and share > shares[whose] + 1:
                spare.append((2, kept.used_at, session))
        if spare:
            await self._end(min(spare)[-1])
        return bool(spare)

    @contextmanager
    def _used(self, session: bytes) -> Iterator[None]:
        kept = self._open.get(session)
        if kept is None:
            yield
            return
        kept.calls += 1
        try:
            yield
        finally:
            kept.calls -= 1
            kept.used_at = clock.now()

    async def _end(self, session: bytes) -> None:
        """End a session as its client would have."""
        opened = self._last_scope
        if opened is None:
            return
        kept = [one for one in opened["headers"] if one[0] in {b"host", b"mcp-protocol-version"}]
        scope = {**opened, "method": "DELETE", "headers": [*kept, (HEADER, session)], "state": {}}
        if session in self._open:
            scope["user"] = self._open[session].user

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: MutableMapping[str, Any]) -> None:
            pass

        await self._app(scope, receive, send)
        await self._forget(session)

    async def _forget(self, session: bytes) -> None:
        if self._open.pop(session, None) is not None:
            await self._left(session.decode("latin-1"))


def _is_same(one: Any, other: Any) -> bool:  # noqa: ANN401 - of the SDK, or none
    """Whether two tokens are of the same person at the same client."""
    return access_of({"user": one}) is None or _principal(one) == _principal(other)


def _note_use(session: _Session | None, status: int) -> None:
    """Note that a request was answered; the client's notice that it is ready (202) does not count."""
    if session is not None and status == HTTPStatus.OK:
        session.is_used = True


def _whose(scope: Scope) -> str:
    """The owner of a request: the person that a token names, else the address."""
    return _principal(scope.get("user")) or str((scope.get("client") or ("",))[0])


def _principal(user: Any) -> str | None:  # noqa: ANN401 - as above
    access = access_of({"user": user})
    return None if access is None else access.principal


def _is_without_sessions(scope: Scope) -> bool:
    """Whether a request is of a protocol that has no sessions; one line of the SDK does not know it."""
    return SDK_2 and header(scope["headers"], b"mcp-protocol-version") >= WITHOUT_SESSIONS.encode()


async def _refuse(send: Send, status: HTTPStatus, words: str) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": words}}
    kind = (b"content-type", b"application/json")
    await send({"type": "http.response.start", "status": int(status), "headers": [kind]})
    await send({"type": "http.response.body", "body": json.dumps(error).encode()})


def header(headers: Any, name: bytes) -> bytes:  # noqa: ANN401 - ASGI
    """The value of a header; empty when there is none."""
    return next((bytes(value) for one, value in headers if one.lower() == name), b"")

"""The sessions of clients over HTTP: one that its client has abandoned is ended after a while.

Clients should end theirs with DELETE. Many never do: their process dies, or they forget it.
Each costs memory. The oldest SDK has no limit, and others have one that does not give back a client's leases.
"""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import anyio

from abe_redis.runtime import clock
from abe_redis.runtime.web import App, Receive, Scope, Send

HEADER = b"mcp-session-id"

_LOOKS = 4
"""How often in the time limit idle sessions are looked for."""


@dataclass(slots=True)
class _Session:
    calls: int = 0
    """Requests that go on, among them an event stream that is open."""
    used_at: float = 0.0


class Sessions:
    """The sessions of an application that serves MCP over HTTP."""

    def __init__(self, app: App, idle_seconds: float, left: Callable[[str], Awaitable[None]]) -> None:
        """Watch the sessions of an application.

        Args:
            app: The application.
            idle_seconds: How long a session lasts in which no request comes and none goes on.
            left: Called with a session that has ended.
        """
        self._app = app
        self._idle_seconds = idle_seconds
        self._left = left
        self._open: dict[bytes, _Session] = {}
        self._last_scope: Scope | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and note whose it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = header(scope["headers"], HEADER)
        status = 0

        async def see(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                session = header(message.get("headers", ()), HEADER)
                if session and not known and status == HTTPStatus.OK:
                    self._open[session] = _Session(used_at=clock.now())
                    self._last_scope = scope
            await send(message)

        with self._used(known):
            await self._app(scope, receive, see)
        if known and (status == HTTPStatus.NOT_FOUND or (scope["method"], status) == ("DELETE", 200)):
            await self._forget(known)

    async def run(self) -> None:
        """End sessions that are idle, until cancelled."""
        while True:
            await anyio.sleep(self._idle_seconds / _LOOKS)
            bound = clock.now() - self._idle_seconds
            idle = [one for one, kept in self._open.items() if not kept.calls and kept.used_at < bound]
            for session in idle:
                await self._end(session)

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

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: MutableMapping[str, Any]) -> None:
            pass

        await self._app(scope, receive, send)
        await self._forget(session)

    async def _forget(self, session: bytes) -> None:
        if self._open.pop(session, None) is not None:
            await self._left(session.decode("latin-1"))


def header(headers: Any, name: bytes) -> bytes:  # noqa: ANN401 - ASGI
    """The value of a header; empty when there is none."""
    return next((bytes(value) for one, value in headers if one.lower() == name), b"")

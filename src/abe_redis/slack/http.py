"""Slack's Events API, interactivity and slash commands over HTTP, as an ASGI application.

`asgi` is the one that the environment configures: `uvicorn abe_redis.slack.http:asgi`, or, within an
application of your own, `app.mount("/slack", asgi)`. It opens Redis at the first request.
"""

import logging
import re
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import anyio

from abe_redis.backend import RedisMessageQueueBackend
from abe_redis.errors import AbeRedisError
from abe_redis.events.arrival import Arrival
from abe_redis.observability import hooks
from abe_redis.runtime.web import Receive, Scope, Send
from abe_redis.settings import Settings
from abe_redis.slack import bodies, signatures
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import ANSWER_SECONDS, Answer, Receiver, failed

_LOG = logging.getLogger(__name__)

_MOST_REASON = 100
"""Characters of a retry's reason."""


class SlackDoor:
    """The ASGI application: a POST to any path of it is Slack's."""

    def __init__(
        self, receiver: Receiver, secrets: Sequence[bytes], *, on_start: Callable[[], None] = lambda: None
    ) -> None:
        """Configure it.

        Args:
            receiver: Takes what came.
            secrets: The app's signing secrets; any of them will do.
            on_start: Called in the event loop when the server starts.
        """
        self._receiver = receiver
        self._secrets = secrets
        self._on_start = on_start
        self._told = set[signatures.Flaw]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI says."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        end = hooks.receiving("http")
        try:
            answer = await self._answer(scope, receive)
        except Exception as error:  # noqa: BLE001 - one request's failure is not the next one's
            answer = failed(error)
        end(answer.fate, answer.reason)
        await _send(answer, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin and end with the server."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._on_start()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] == "GET" and b"ssl_check=1" in scope.get("query_string", b"").split(b"&"):
            return Answer("answered")  # of a certificate; nothing else comes of it
        if scope["method"] != "POST":
            allowed = (("allow", "POST"),)
            return Answer("refused", 405, "Slack posts here.", reason="no POST", headers=allowed)
        headers = _headers(scope)
        until = anyio.current_time() + ANSWER_SECONDS
        body: bytes | Answer = _NO_BODY
        with anyio.CancelScope(deadline=until):
            body = await self._body(receive, headers)
        return body if isinstance(body, Answer) else await self._take(body, headers, until)

    async def _body(self, receive: Receive, headers: dict[str, str]) -> bytes | Answer:
        """The body; or a refusal, if the head shows that it is not Slack's, or the body does not come."""
        flaw = signatures.flaw_of_head(*_signed(headers), now=time.time())
        if flaw not in {None, "no signature"}:  # strangers keep nobody out with bodies that never come
            return self._refused(flaw)
        most = bodies.MOST_BYTES if flaw is None else bodies.MOST_OF_A_CHECK
        try:
            return await _read(receive, headers.get("content-length", ""), most)
        except _TooLargeError:
            return _TOO_LARGE if flaw is None else self._refused(flaw)
        except _HungUpError:
            return _GONE

    async def _take(self, body: bytes, headers: dict[str, str], until: float) -> Answer:
        flaw = signatures.flaw_in(body, *_signed(headers), secrets=self._secrets, now=time.time())
        if flaw == "no signature" and bodies.is_ssl_check(body):
            return Answer("answered")  # which Slack does not sign; nothing comes of it
        if flaw is not None:
            return self._refused(flaw)
        try:
            sent = bodies.decoded(body)
        except bodies.BadBodyError as error:
            _LOG.warning("A request that Slack signed was refused: %s.", error)
            return Answer("refused", 400, f"This cannot be read: {error}.", reason="bad body")
        return await self._receiver.take(sent, _arrival(headers), until=until)

    def _refused(self, flaw: signatures.Flaw) -> Answer:
        """The answer to what Slack has not signed.

        A kind of refusal is logged once: anybody can cause more, and the metrics count them.
        """
        level = logging.DEBUG if flaw in self._told else logging.WARNING
        self._told.add(flaw)
        _LOG.log(
            level,
            "A request was refused: %s. If all are, check SLACK_SIGNING_SECRET and this machine's clock.",
            flaw,
        )
        return Answer("refused", 401, "This is not signed by Slack.", reason=flaw)


def _signed(headers: dict[str, str]) -> tuple[str | None, str | None]:
    """The signature and the time of a request."""
    return headers.get("x-slack-signature"), headers.get("x-slack-request-timestamp")


def _headers(scope: Scope) -> dict[str, str]:
    """The headers by their names; of one that comes twice, nothing."""
    found: dict[str, str] = {}
    twice = set[str]()
    for raw_name, value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in found:
            twice.add(name)
        found[name] = value.decode("latin-1")
    return {name: value for name, value in found.items() if name not in twice}


class _TooLargeError(Exception):
    """A body is larger than it may be."""


class _HungUpError(Exception):
    """Its sender went away."""


_TOO_LARGE = Answer("refused", 413, "This is larger than what Slack sends.", reason="too large")
_GONE = Answer("refused", 400, "You went away.", reason="hung up")
_NO_BODY = Answer("refused", 408, "Its body did not come.", reason="no body")


async def _read(receive: Receive, length: str, most: int) -> bytes:
    """The body; reading stops as soon as it is too large.

    Raises:
        _TooLargeError: It has more bytes than the most.
        _HungUpError: Its sender went away.
    """
    if length.isascii() and length.isdecimal() and int(length[:20]) > most:
        raise _TooLargeError
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _HungUpError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _TooLargeError
        more = message.get("more_body", False)
    return b"".join(parts)


def _arrival(headers: dict[str, str]) -> Arrival:
    number = headers.get("x-slack-retry-num", "")
    reason = headers.get("x-slack-retry-reason", "")[:_MOST_REASON]
    return Arrival(
        path="http",
        retry_num=int(number) if re.fullmatch("[0-9]{1,6}", number) else 0,
        retry_reason=reason or None,
    )


async def _send(answer: Answer, send: Send) -> None:
    body = answer.body.encode()
    headers = [
        ("content-type", answer.content_type),
        ("content-length", str(len(body))),
        *answer.headers,
    ]
    start: MutableMapping[str, Any] = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


class _FromEnvironment:
    """The door that the environment configures, made when it is first needed."""

    def __init__(self) -> None:
        self._door: SlackDoor | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI says.

        Raises:
            AbeRedisError: A setting is wrong or missing; the server says so at its start.
        """
        if self._door is None:
            try:
                self._door = _from_environment()
            except AbeRedisError as error:
                if scope["type"] != "lifespan":
                    raise
                await receive()
                await send({"type": "lifespan.startup.failed", "message": f"abe-redis: {error}"})
                return
        await self._door(scope, receive, send)


def _from_environment() -> SlackDoor:
    settings = Settings()
    secrets = signatures.secrets_of(settings)
    # Each event loop closes the connections that it opened when it ends.
    backend = RedisMessageQueueBackend(settings)
    receiver = Receiver(backend, Queues.chosen(settings), conversation=settings.redis_stream_conversation)
    return SlackDoor(receiver, secrets, on_start=backend.forward)


asgi = _FromEnvironment()
"""The application for those who mount it, or run it in a server of their own."""

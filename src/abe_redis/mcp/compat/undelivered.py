"""Notices answers that a client over HTTP does not hear: both SDK lines run their calls all the same."""

from collections.abc import MutableMapping
from typing import Any

import anyio
from pydantic_core import from_json

from abe_redis.mcp.client_identity import Identity
from abe_redis.mcp.compat.accept import answer_of, is_stream
from abe_redis.mcp.compat.unanswered import CANCELLED, cancelled_request
from abe_redis.mcp.lease_calls import DELIVERY, Delivery, LeaseCalls
from abe_redis.mcp.sessions import HEADER, header
from abe_redis.runtime.web import App, Receive, Scope, Send

_GIVE_BACK_SECONDS = 4.0
_WORD = CANCELLED.rpartition("/")[2].encode()
"""What stands in each message that gives a request up; the slash before it may be escaped."""


def noticing(app: App, calls: LeaseCalls) -> App:
    """An application that says of which calls the answer does not arrive.

    Args:
        app: The MCP server.
        calls: They hear of it.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        answer = _Answer(receive, send)

        async def hear() -> MutableMapping[str, Any]:
            message = await answer.hear()
            if (number := _cancelled(message)) is not None:
                session = header(scope["headers"], HEADER).decode("latin-1")
                await calls.cancelled(Identity.of("session", session, ""), number)
            return message

        try:
            await app({**scope, DELIVERY: answer.delivery}, hear, answer.say)
        finally:
            if not answer.has_arrived:
                with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
                    await answer.delivery.fail()

    return run


class _Answer:
    """The answer to one request."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_stream = False
        self._body = b""
        self._is_gone = False
        """Whether the client has closed its connection."""
        self.delivery = Delivery()
        self.has_arrived = False

    async def hear(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._is_gone = self._is_gone or message["type"] == "http.disconnect"
        return message

    async def say(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._is_stream = is_stream(message)
        elif self.delivery.calls and not self.has_arrived:
            self._body += message.get("body", b"")
            if self._is_whole(message):
                with anyio.move_on_after(0):  # a client that is gone is known at once
                    await self.hear()
                await self._send(message)
                self.has_arrived = not self._is_gone
                return
        await self._send(message)

    def _is_whole(self, message: MutableMapping[str, Any]) -> bool:
        """Whether the client has the answer with this message: many do not wait for the end of a stream."""
        if not self._is_stream:
            return not message.get("more_body")
        is_event = self._body.endswith((b"\n\n", b"\r\n\r\n"))
        return is_event and bool(answer_of(self._body))


def _cancelled(message: MutableMapping[str, Any]) -> object:
    """The id of the request that a message gives up on, if it does."""
    if _WORD not in message.get("body", b""):
        return None
    try:
        said = from_json(message["body"])
    except ValueError:  # which is answered elsewhere
        return None
    return cancelled_request(said)

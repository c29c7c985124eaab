"""Accepts the `Accept` headers that clients and proxies really send; both SDK lines answer most with 406.

An answer may come as an event stream or as JSON. The SDK insists on a client that takes both. Here one that
takes anything, or says nothing, gets an event stream, and one that takes only JSON gets JSON.
"""

import json
from collections.abc import MutableMapping
from typing import Any

from abe_redis.runtime.web import App, Receive, Scope, Send

_JSON, _STREAM = "application/json", "text/event-stream"
_BOTH = f"{_JSON}, {_STREAM}".encode()


def accepting(app: App) -> App:
    """An application that answers any `Accept` header, as far as it can."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "POST"}:
            await app(scope, receive, send)
            return
        accepted = _accepted(scope)
        others = [(name, value) for name, value in scope["headers"] if name != b"accept"]
        asked = {**scope, "headers": [*others, (b"accept", _BOTH)]}
        if scope["method"] == "POST" and _takes(accepted, _JSON) and not _takes(accepted, _STREAM):
            send = _AsJson(send)
        await app(asked, receive, send)

    return run


def _accepted(scope: Scope) -> list[str]:
    given = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
    kinds = [kind.partition(";")[0].strip().lower() for kind in given.split(",")]
    return [kind for kind in kinds if kind] or ["*/*"]


def _takes(accepted: list[str], kind: str) -> bool:
    return not {kind, f"{kind.partition('/')[0]}/*", "*/*"}.isdisjoint(accepted)


class _AsJson:
    """Sends the one answer of an event stream as JSON; any other response passes unchanged."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: MutableMapping[str, Any] | None = None
        """The start of an answer that is an event stream, until its answer is there."""
        self._body = b""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and is_stream(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._answer(self._start)

    async def _answer(self, start: MutableMapping[str, Any]) -> None:
        body = answer_of(self._body)
        replaced = {b"content-type", b"content-length", b"transfer-encoding"}
        kept = [(name, value) for name, value in start["headers"] if name.lower() not in replaced]
        length = str(len(body)).encode()
        headers = [*kept, (b"content-type", _JSON.encode()), (b"content-length", length)]
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def is_stream(message: MutableMapping[str, Any]) -> bool:
    """Whether a response that starts so is an event stream."""
    return any(
        name.lower() == b"content-type" and value.lower().startswith(_STREAM.encode())
        for name, value in message["headers"]
    )


def answer_of(stream: bytes) -> bytes:
    """The last message of an event stream that is an answer; notifications before it are left out."""
    answer = b""
    for event in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        fields = (line.partition(b":") for line in event.split(b"\n"))
        data = b"\n".join(value.removeprefix(b" ") for name, _, value in fields if name == b"data")
        if data and not json.loads(data).keys().isdisjoint({"result", "error"}):
            answer = data
    return answer

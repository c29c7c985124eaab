"""Requests to a door, as an ASGI server makes them."""

import json
import random
import string
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from abe_redis import RedisMessageQueueBackend
from abe_redis.runtime.web import App
from abe_redis.slack.http import SlackDoor
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import LiveApp, Receiver

SECRET = "a-signing-secret"


@dataclass
class Reply:
    """What was answered."""

    status: int
    body: str
    headers: dict[str, str]
    unread: int
    """Parts of the body that nobody asked for."""


def door(backend: RedisMessageQueueBackend, live: LiveApp | None = None) -> SlackDoor:
    """A door to this queue."""
    return SlackDoor(Receiver(backend, Queues.chosen(backend.settings), live), [SECRET.encode()])


async def post(
    app: App,
    body: bytes | Sequence[bytes],
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    method: str = "POST",
    hang_up: bool = False,
    query: str = "",
) -> Reply:
    """Make a request, in one part or in several."""
    parts = [body] if isinstance(body, bytes) else list(body)
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    said: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if not parts:
            return {"type": "http.disconnect"}
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts) or hang_up}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": "/slack/events",
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode("latin-1", "surrogateescape")) for name, value in pairs
        ],
    }
    await app(scope, receive, send)
    start, answer = said
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], answer["body"].decode(), found, len(parts))


def odd_body(chance: random.Random, payload: dict[str, Any]) -> tuple[bytes, str]:
    """A body that is nearly what Slack sends, or not at all; and its content type."""
    text = bytearray(json.dumps(payload).encode())
    kind = chance.choice(["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
    match chance.randrange(6):
        case 0:  # bytes
            return chance.randbytes(chance.randrange(300)), kind
        case 1:  # cut
            return bytes(text[: chance.randrange(len(text))]), kind
        case 2:  # flipped
            for _ in range(chance.randrange(1, 9)):
                text[chance.randrange(len(text))] = chance.randrange(256)
            return bytes(text), kind
        case 3:  # another JSON
            values: list[Any] = [None, [], {}, 7, "x", {"type": {}}, {"command": []}, {"payload": "\ud800"}]
            values += [{"type": "event_callback", "event": chance.choice([None, [], "x", {"type": []}])}]
            return json.dumps(chance.choice(values)).encode(), kind
        case 4:  # a form
            names = ["payload", "command", "token", "text", "ssl_check", "x"]
            fields = [
                f"{chance.choice(names)}={''.join(chance.choices(string.printable, k=9))}" for _ in range(4)
            ]
            return "&".join(fields).encode(), kind
        case _:  # nested
            depth = chance.choice([5, 99, 101, 5_000])
            return b'{"a":' * depth + b"1" + b"}" * depth, kind

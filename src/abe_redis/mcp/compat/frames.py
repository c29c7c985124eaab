"""Answers frames that are not messages: the SDK ignores what it cannot parse, and clients wait.

Its parser refuses JSON with a lone surrogate, or with more than some 200 levels. Such a frame is answered
here, before the SDK sees it, with the error that JSON-RPC has for it, and with the frame's id as far as that
can be made out.
"""

import json
import re
from typing import Any

from pydantic_core import from_json

from abe_redis.runtime.web import App, Receive, Scope, Send

_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600
_MOST_OF_A_BODY = 32 * 1024 * 1024

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]|[^\s{}\[\]:,"]++', re.DOTALL)
_LONGEST_ID = 200


def complaint(frame: str | bytes) -> str | None:
    """The answer to a frame that is no message; None when it is one.

    Args:
        frame: A line, or the body of a request.
    """
    try:
        message = from_json(frame)
    except ValueError as error:
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        why = str(error)[:100].encode("ascii", "replace").decode()
        return _error(_PARSE_ERROR, f"The message is not JSON that can be read: {why}.", _id_of(text))
    if isinstance(message, list) and message:
        return _error(_INVALID_REQUEST, "Batches are not taken: send each message by itself.", None)
    if not isinstance(message, dict) or not _is_message(message):
        found = message.get("id") if isinstance(message, dict) else None
        return _error(_INVALID_REQUEST, "The message is no JSON-RPC 2.0 message.", _fit(found))
    return None


def batch(frame: str) -> list[str] | None:
    """The messages of a batch, which one version of the protocol has; None when a frame is no batch."""
    if not frame.startswith("["):
        return None
    try:
        parts = from_json(frame)
    except ValueError:
        return None
    is_batch = bool(parts) and not any(isinstance(one, list) for one in parts)
    return [json.dumps(one) for one in parts] if is_batch else None


def _is_message(message: dict[str, Any]) -> bool:
    if "id" in message and (isinstance(message["id"], bool) or not isinstance(message["id"], str | int)):
        return False
    if "method" in message:
        return isinstance(message["method"], str) and isinstance(message.get("params"), dict | None)
    return "result" in message or "error" in message


def _error(code: int, words: str, entry_id: str | int | None) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": entry_id, "error": {"code": code, "message": words}})


def _fit(found: object) -> str | int | None:
    """An id that can be answered with."""
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return found if len(str(found)) <= _LONGEST_ID else None


def _id_of(text: str) -> str | int | None:
    """The id at the top of a frame that cannot be read as a whole."""
    depth, is_next = 0, False
    for token in _TOKEN.finditer(text):
        word = token[0]
        if is_next:
            try:
                return _fit(json.loads(word))
            except ValueError:
                return None
        if word in "{[":
            depth += 1
        elif word in "}]":
            depth -= 1
        elif depth == 1 and word == '"id"' and text[token.end() :].lstrip()[:1] == ":":
            is_next = True
    return None


def answering(app: App) -> App:
    """An application that answers bodies that are no messages."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _MOST_OF_A_BODY:
                await _send(send, 413, _error(_INVALID_REQUEST, "The message is too large.", None))
                return
        if (said := complaint(body)) is not None:
            await _send(send, 400, said)
            return
        given = False

        async def again() -> Any:  # noqa: ANN401 - ASGI
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, again, send)

    return run


async def _send(send: Send, status: int, body: str) -> None:
    data = body.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})

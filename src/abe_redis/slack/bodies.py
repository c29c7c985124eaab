"""Decodes a request's body: JSON for events, a form for commands and interactivity.

The body decides which of them it is, because a client or proxy may have changed the content type.
"""

import json
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from abe_redis.slack.shapes import Sent

MOST_BYTES = 1024 * 1024
"""Slack's largest envelopes have about 100 KB, and a form takes up to three bytes for one."""

MOST_OF_A_CHECK = 200
"""Bytes of Slack's check of a certificate."""

_MOST_FIELDS = 200
_NEITHER = "the body is neither JSON nor a form"


class BadBodyError(Exception):
    """The body is not what Slack sends; its first argument says why, without anything from the body."""


def decoded(body: bytes) -> Sent:
    """What a body holds: JSON, or a form with JSON in its field `payload`, or a form's fields.

    Raises:
        BadBodyError: It is none of these, or has no shape of Slack's.
    """
    sent = _read(body)
    flaw = sent.flaw()
    if flaw is not None:
        raise BadBodyError(flaw)
    return sent


def is_ssl_check(body: bytes) -> bool:
    """Whether this is only Slack's check of a certificate: `ssl_check=1&token=…`."""
    if not body.startswith((b"ssl_check=1", b"token=")) or len(body) > MOST_OF_A_CHECK:
        return False
    try:
        sent = decoded(body)
    except BadBodyError:
        return False
    return sent.is_ssl_check and sent.payload.keys() <= {"ssl_check", "token"}


def _read(body: bytes) -> Sent:
    if body.lstrip(b" \t\r\n")[:1] in (b"{", b"["):
        return Sent(_object(body, "body"), "event")
    if b"=" not in body:
        raise BadBodyError(_NEITHER)
    try:
        # Strict ASCII, as a form is: what is not has to be written as %XX.
        fields = dict(
            parse_qsl(
                body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
            )
        )
    except ValueError:
        raise BadBodyError(_NEITHER) from None
    if "payload" in fields:
        return Sent(_object(fields["payload"].encode(), "field payload"), "interactive")
    return Sent(fields, "command")


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadBodyError(f"the {what} is not JSON") from None
    if not isinstance(found, dict):
        raise BadBodyError(f"the {what} is not a JSON object")
    return found


def _refuse(_: str) -> NoReturn:
    """Python reads NaN and Infinity, which are no JSON.

    Raises:
        ValueError: Always.
    """
    raise ValueError

"""What stands in a request's body: JSON for events, a form for commands and interactivity."""

import json
from typing import Any, NoReturn
from urllib.parse import parse_qsl

MOST_BYTES = 1024 * 1024
"""Slack's largest envelopes have about 100 KB, and a form takes up to three bytes for one."""

_MOST_FIELDS = 200
_FORM = "application/x-www-form-urlencoded"


class BadBodyError(Exception):
    """The body is not what Slack sends; its first argument says why, without anything from the body."""


def decoded(body: bytes, content_type: str) -> dict[str, Any]:
    """The payload in a body: of a form, what its field `payload` holds, or else its fields.

    Raises:
        BadBodyError: There is none.
    """
    if content_type.partition(";")[0].strip().lower() != _FORM:
        return _object(body, "body")
    try:
        # Strict ASCII, as a form is: what is not has to be written as %XX.
        fields = dict(
            parse_qsl(
                body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
            )
        )
    except ValueError:
        raise BadBodyError("the form cannot be decoded") from None
    if "payload" in fields:
        return _object(fields["payload"].encode(), "field payload")
    if not fields:
        raise BadBodyError("the form is empty")
    return fields


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

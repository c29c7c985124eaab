"""The wire format: the fields of an entry in a stream.

An entry holds the payload as JSON in its field `data`, as abe-redis 0.1.0 wrote it; more fields may stand
beside it. Only one part of a payload is left out: the verification `token` at the top of a payload that looks
like Slack's. It is a secret that Slack and the app share.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from json import encoder
from typing import Any

from pydantic_core import from_json

from abe_redis.errors import PayloadError, PayloadTooLargeError
from abe_redis.events.kinds import is_of_slack
from abe_redis.runtime.arguments import check_text, each

# The standard library's encoder is not the fastest, but others silently write NaN as null and a set as a
# list. An object that contains itself is found by its depth, without a record of every object.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def _made_once() -> Callable[[object], str]:
    """What `_ENCODER.encode` does to a dict, without a new C encoder for each: a fifth of the time."""
    make: Any = vars(encoder)["c_make_encoder"]  # which has no types
    if make is None:
        return _ENCODER.encode
    parts: Callable[[object, int], Iterable[str]] = make(
        None, _ENCODER.default, encoder.encode_basestring, None, *(":", ","), *(False, False, False)
    )
    return lambda payload: "".join(parts(payload, 0))


_text_of = _made_once()

type Fields = dict[bytes, bytes]
"""A stream entry's fields."""

DATA = b"data"
ORIGIN = b"origin"
AGENT = "mcp"
"""The origin of events that agents publish."""
TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
"""Fields by which the handler's span is joined to the publisher's; see https://www.w3.org/TR/trace-context/."""
CONVERSATION = b"conversation"
"""Field that names the conversation, when it matters and where the payload may not say it; if it is empty,
there is none."""
MENTION = b"mention"
"""Field of an event that represents both events of a mention: which of them it is, and their common key."""
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""Slack's largest envelopes are about 100 KB; a stream entry is not a place for files."""
MAX_DEPTH = 100
"""Slack's deepest blocks have about 20 levels; parsers that others use give up at 100 to 255."""


class UndecodableError(Exception):
    """The entry does not hold a JSON object; its first argument says why."""


def encode(payload: object) -> bytes:
    """The payload as JSON in UTF-8, without Slack's verification token.

    Raises:
        PayloadError: It is not a dict, or holds something JSON has no word for.
        PayloadTooLargeError: It is larger than `MAX_PAYLOAD_BYTES`.
    """
    if not isinstance(payload, dict):
        raise PayloadError(
            f"A payload must be a dict (a JSON object), not {type(payload).__name__}; nothing was published."
        )
    payload = without_token(payload)
    try:
        text = _text_of(payload)
    except RecursionError:
        raise PayloadError(
            "The payload is nested too deeply or contains itself; nothing was published."
        ) from None
    except (TypeError, ValueError) as error:
        raise PayloadError(f"The payload is not JSON ({error}); nothing was published.") from None
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only JSON's own escapes can carry
        data = json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLargeError(
            f"The payload has {len(data):,} bytes of JSON; the limit is {MAX_PAYLOAD_BYTES:,}. Nothing was "
            "published: store large content elsewhere and publish a reference to it."
        )
    if is_deeply_nested(data, payload, MAX_DEPTH):
        raise PayloadError(
            f"The payload is nested more than {MAX_DEPTH} levels deep; nothing was published. Publish deep "
            "content as a string of JSON."
        )
    return data


def each_payload(payloads: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of many payloads.

    Raises:
        PayloadError: It is no list: a single payload, for example.
    """
    return each("payloads", payloads, members="payloads, each a dict", kind=PayloadError)


def as_origin(origin: str | None) -> bytes:
    """An origin as its field holds it. A lone surrogate, which is no text, is written as its escape.

    Raises:
        InvalidArgumentError: It is no text.
    """
    if origin is None:
        return b""
    check_text("origin", origin, may_be_empty=True)
    return origin.encode(errors="backslashreplace")


def without_token(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload without Slack's verification token; a `token` of other programs stays."""
    if isinstance(payload.get("token"), str) and is_of_slack(payload):
        without = dict(payload)
        del without["token"]
        return without
    return payload


_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _may_be_deeper(data: bytes, levels: int) -> bool:
    """Whether the JSON may be nested deeper than `levels`; a full walk, which takes longer, then decides.

    It removes empty pairs of brackets, a level or two at a time. JSON that has few brackets, or loses all of
    them in a few rounds, is certainly not too deep.
    """
    brackets = data.translate(None, _ALL_BUT_BRACKETS)
    if len(brackets) <= 2 * levels:
        return False
    for _ in range(levels // 2):
        fewer = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not fewer:
            return False
        if len(fewer) == len(brackets):  # some stand in a text
            break
        brackets = fewer
    return True


def is_deeply_nested(data: bytes, payload: object, levels: int) -> bool:
    """As `is_deeper`, but faster, from the encoded payload."""
    return _may_be_deeper(data, levels) and is_deeper(payload, levels)


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and lists are nested deeper than that; without recursion, for it may be deep."""
    level: list[Any] = [value]
    for _ in range(levels):
        level = [
            item
            for one in level
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, dict | list | tuple)
        ]
        if not level:
            return False
    return True


def decode(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The payload of a stream entry.

    Raises:
        UndecodableError: There is no field `data`, or it is not a JSON object in UTF-8.
    """
    data = fields.get(DATA)
    if data is None:
        raise UndecodableError("the entry has no field 'data'")
    try:
        payload = _parsed(data)
    except UnicodeDecodeError:
        raise UndecodableError("the field 'data' is not UTF-8") from None
    except RecursionError:
        raise UndecodableError("the JSON in the field 'data' is nested too deeply") from None
    except ValueError as error:
        raise UndecodableError(f"the field 'data' is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise UndecodableError(f"the field 'data' holds a JSON {type(payload).__name__}, not an object")
    return payload


def _parsed(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return from_json(data, cache_strings="keys")
    except ValueError:  # the standard library also accepts lone surrogates, and has the best error messages
        return json.loads(data.decode())

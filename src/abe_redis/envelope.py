"""The wire format, and what we know of a Slack envelope.

A stream entry holds the payload as JSON in its field `data`, as abe-redis 0.1.0 wrote it; more
fields may stand beside it. The only thing we take away from a payload is Slack's deprecated
verification `token`, which is a secret shared with the app.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from pydantic_core import from_json

from abe_redis.errors import LeaseLostError, PayloadError, PayloadTooLargeError

# The standard library's is not the fastest, but others write NaN as null and a set as a list, in silence.
# What contains itself is found by its depth, without keeping books of every object.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))

type Fields = dict[bytes, bytes]
"""A stream entry's fields."""

DATA = b"data"
ORIGIN = b"origin"
TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
"""Fields by which the handler's span is joined to the publisher's; see https://www.w3.org/TR/trace-context/."""
CONVERSATION = b"conversation"
"""Field that names the conversation, when it matters and where the payload may not say it."""
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""Slack's largest envelopes are about 100 KB; a stream entry is not a place for files."""
MAX_DEPTH = 100
"""Slack's deepest blocks have about 20 levels; parsers that others use give up at 100 to 255."""


_NO_TRACE: Mapping[str, str] = MappingProxyType({})


def trace_of(fields: Mapping[bytes, bytes]) -> Mapping[str, str]:
    """The publisher's span, as headers; empty when it was not traced."""
    if TRACEPARENT not in fields:
        return _NO_TRACE
    return {
        name.decode(): fields[name].decode(errors="replace")
        for name in (TRACEPARENT, TRACESTATE)
        if name in fields
    }


class Event(dict[str, Any]):
    """A payload as `consume()` yields it: equal to the plain dict, and knowing where it came from."""

    __slots__ = ("_holder", "deliveries", "group", "id", "origin", "stream", "trace")

    def __init__(
        self,
        payload: Mapping[str, Any],
        *,
        stream: str,
        group: str,
        id: str,  # noqa: A002 - the field's term
        deliveries: int,
        origin: str | None = None,
        trace: Mapping[str, str] = _NO_TRACE,
        holder: "Holder | None" = None,
    ) -> None:
        super().__init__(payload)
        self.stream: str = stream
        """The stream it was read from."""
        self.group: str = group
        """The consumer group it was delivered to."""
        self.id: str = id
        """Its entry id in the stream, as in `1732000000000-0`."""
        self.deliveries: int = deliveries
        """How often it has been delivered in this group, this time included."""
        self.origin: str | None = origin
        """Who published it, when that was not a webhook: `mcp` for an agent, `cli` for a command."""
        self.trace: Mapping[str, str] = trace
        """The publisher's span, as the headers of W3C Trace Context; empty when it was not traced."""
        self._holder = holder

    async def nack(self, *, delay: float = 0, reason: str | None = None) -> None:
        """Give it back as not done: it is delivered again, to whoever asks first.

        Args:
            delay: Not before so many seconds have passed; at most 7 days.
            reason: For the log.

        Raises:
            LeaseLostError: It is not held any more.
            AbeRedisError: Redis could not be reached, or refused.
        """
        await self._held_by().nack(self, delay=delay, reason=reason)

    async def bury(self, *, reason: str) -> None:
        """Give up on it: it moves to the dead letters with the reason.

        Raises:
            LeaseLostError: It is not held any more.
            AbeRedisError: Redis could not be reached, or refused.
        """
        await self._held_by().bury(self, reason=reason)

    def _held_by(self) -> "Holder":
        if self._holder is None:
            raise LeaseLostError
        return self._holder


class Holder(Protocol):
    """Who holds an event, and can let go of it."""

    async def nack(self, event: Event, *, delay: float, reason: str | None) -> None:
        """Give it back, to be delivered again."""

    async def bury(self, event: Event, *, reason: str) -> None:
        """Move it to the dead letters."""


class UndecodableError(Exception):
    """The entry does not hold a JSON object; its first argument says why."""


def encode(payload: object) -> bytes:
    """The payload as JSON in UTF-8, without Slack's verification token.

    Raises:
        PayloadError: It is not a dict, or holds something JSON has no word for.
        PayloadTooLargeError: It is larger than `MAX_PAYLOAD_BYTES`.
    """
    if not isinstance(payload, dict):
        raise PayloadError(f"A payload must be a dict, not {type(payload).__name__}; nothing was published.")
    if is_slack_envelope(payload) and "token" in payload:
        payload = {name: value for name, value in payload.items() if name != "token"}
    try:
        text = _ENCODER.encode(payload)
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
    if _may_be_deeper(data, MAX_DEPTH) and is_deeper(payload, MAX_DEPTH):
        raise PayloadError(
            f"The payload is nested more than {MAX_DEPTH} levels deep; nothing was published. Publish deep "
            "content as a string of JSON."
        )
    return data


_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _may_be_deeper(data: bytes, levels: int) -> bool:
    """Whether to walk through what was encoded, which takes longer than to encode it.

    That is when it has so many brackets, and they do not vanish soon when each pair that encloses nothing is
    taken away, which takes away a level or two at a time.
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
    except ValueError:  # the standard library also takes lone surrogates, and says best what is wrong
        return json.loads(data.decode())


def is_slack_envelope(payload: Mapping[str, Any]) -> bool:
    """Whether this is what Slack's Events API posts: the outer object around an event."""
    return payload.get("type") == "event_callback"


def slack_event_id(payload: Mapping[str, Any]) -> str | None:
    """The id that Slack repeats when it sends an envelope again, if this is an envelope."""
    event_id = payload.get("event_id")
    return event_id if is_slack_envelope(payload) and isinstance(event_id, str) and event_id else None


def is_health_check(payload: Mapping[str, Any]) -> bool:
    """Whether this is what Slack MCP Server publishes for every GET of its /health."""
    return payload.get("type") == "health_check"


def event_of(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Slack event inside an envelope, or the payload itself."""
    event = payload.get("event")
    return event if is_slack_envelope(payload) and isinstance(event, dict) else payload


def channel_of(payload: Mapping[str, Any]) -> str | None:
    """The channel in which the Slack event happened; None when it was in none."""
    event = event_of(payload)
    found = event.get("channel") or event.get("channel_id") or event.get("item")
    if isinstance(found, Mapping):  # `channel_created` has all of a channel; a reaction has an item
        found = found.get("id") or found.get("channel")
    return found if isinstance(found, str) and found else None


def user_of(payload: Mapping[str, Any]) -> str | None:
    """Whose Slack event it is; None when it names nobody."""
    found = event_of(payload).get("user")
    if isinstance(found, Mapping):  # `team_join` has all of a user
        found = found.get("id")
    return found if isinstance(found, str) and found else None


def event_type(payload: Mapping[str, Any]) -> str | None:
    """The type of the Slack event, as in `app_mention`; None when the payload names none."""
    kind = event_of(payload).get("type")
    return kind if isinstance(kind, str) else None

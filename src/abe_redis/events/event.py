"""An event as its handler sees it: the payload, where it came from, and how to settle it."""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, Protocol

from abe_redis.errors import InvalidArgumentError, LeaseLostError
from abe_redis.events import mentions
from abe_redis.events.arrival import Arrival
from abe_redis.events.codec import MENTION, TRACEPARENT, TRACESTATE
from abe_redis.runtime.arguments import check_flag, check_seconds, check_text
from abe_redis.schemas import MAX_DELAY_SECONDS

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


def merged_types_of(fields: Mapping[bytes, bytes]) -> tuple[str, ...]:
    """The types of the event and of its twin, when they were merged; else none."""
    return mentions.TYPES if MENTION in fields else ()


class Event(dict[str, Any]):
    """A payload as `consume()` yields it: equal to the plain dict, and knowing where it came from."""

    __slots__ = (
        *("_holder", "arrival", "deliveries", "group", "id"),
        *("merged_types", "origin", "stream", "trace"),
    )

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
        merged_types: tuple[str, ...] = (),
        arrival: Arrival | None = None,
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
        self.merged_types: tuple[str, ...] = merged_types
        """`app_mention` and `message`, when one event stands for both (`REDIS_STREAM_MERGE_MENTIONS`)."""
        self.arrival: Arrival | None = arrival
        """How Slack delivered it to `abe-redis listen`; None when it came another way."""
        self._holder = holder

    async def nack(self, *, delay: float = 0, reason: str | None = None, counted: bool = True) -> None:
        """Give it back as not done: it is delivered again, to any consumer of the group.

        Args:
            delay: Seconds to wait before the next delivery; at most 7 days.
            reason: For the log, and for the dead letter when this was the last delivery.
            counted: Whether this delivery counts among those after which an event is buried.

        Raises:
            InvalidArgumentError: An argument is not valid.
            LeaseLostError: It is not held any more.
            AbeRedisError: Redis could not be reached, or refused.
        """
        check_seconds("The delay of nack()", delay, most=MAX_DELAY_SECONDS, kind=InvalidArgumentError)
        check_flag("counted of nack()", counted, kind=InvalidArgumentError)
        if reason is not None:
            check_text("The reason of nack()", reason, may_be_empty=True)
        await self._held_by().nack(self, delay=delay, reason=reason, counted=counted)

    async def bury(self, *, reason: str) -> None:
        """Give up on it: it moves to the dead letters with the reason, which is not empty.

        Raises:
            InvalidArgumentError: The reason is no text, or empty.
            LeaseLostError: It is not held any more.
            AbeRedisError: Redis could not be reached, or refused.
        """
        check_text("The reason of bury()", reason)
        await self._held_by().bury(self, reason=reason)

    def _held_by(self) -> "Holder":
        if self._holder is None:
            raise LeaseLostError(
                f"Event {self.id} of {self.stream!r} belongs to no lease here: it is a copy, or was made by "
                "hand. Call nack() and bury() on the event that the consumer handed out."
            )
        return self._holder

    # Copies are for the payload and for where it came from: the lease stays with the original.

    def __copy__(self) -> "Event":
        return self.with_payload(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Event":
        return self.with_payload(deepcopy(dict(self), memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (dict(self), self.facts())

    def with_payload(self, payload: Mapping[str, Any], *, holder: "Holder | None" = None) -> "Event":
        """Another payload from the same place, with the given holder."""
        return Event(payload, **self.facts(), holder=holder)

    def facts(self) -> dict[str, Any]:
        """Where it came from, as the constructor takes it."""
        facts = {name: getattr(self, name) for name in Event.__slots__ if name != "_holder"}
        return facts | {"trace": dict(self.trace)}


def _unpickled(payload: dict[str, Any], facts: dict[str, Any]) -> Event:
    return Event(payload, **facts)


class Holder(Protocol):
    """The holder of an event, which can settle it."""

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None:
        """Give it back, to be delivered again."""

    async def bury(self, event: Event, *, reason: str) -> None:
        """Move it to the dead letters."""

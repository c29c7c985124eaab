"""The interface of a group's consumer, for its callers."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from abe_redis.events.event import Event


class InFlightEvent(Protocol):
    """An event in flight."""

    on_lost: Callable[[], None] | None
    """Called when another consumer takes it while the handler runs."""

    lost: bool
    """Whether another consumer holds it by now."""

    detail: Mapping[str, str]
    """The fields that a dead letter keeps beside its reason: `handler` and `trace`."""

    is_of_full: bool
    """Whether its handler and others of its worker, all beyond their limits, hold all places there."""

    opened: Event | None
    """The event of the handler; none once it is settled."""

    is_let_go: bool
    """Whether it is settled, as soon as Redis answers."""

    is_left: bool
    """Whether a function goes on with it, though its worker has ended: it is not given back."""

    @property
    def event(self) -> Event:
        """The event of the handler."""


class ConsumerProtocol(Protocol):
    """A consumer of a group, as an `EventStream` and an `EventWorker` use it."""

    group: str
    name: str
    on_connected: Callable[[], None]
    """Called once, when the queue has answered."""

    def allow(self, deliveries: int) -> None:
        """Bury an event after this many deliveries, instead of `REDIS_STREAM_MAX_DELIVERIES`."""

    async def next(self) -> Event:
        """Finish the events in flight and wait for the next one; StopAsyncIteration when closed."""

    async def take(self) -> Any:  # noqa: ANN401 - each has its own kind of `InFlightEvent`
        """Wait for an event without finishing the others; None when closed."""

    def get_nowait(self) -> Any:  # noqa: ANN401 - as above
        """A prefetched event; None if there is none, or if Redis has to confirm its lease first."""

    def finish(self, held: Any, /) -> None:  # noqa: ANN401 - what `take` gave
        """Finish an event."""

    def ended(self, held: Any, /) -> None:  # noqa: ANN401 - what `take` gave
        """Note that the handler of an event has ended."""

    def stop_fetching(self) -> None:
        """Stop fetching; delivered events stay."""

    async def close(self) -> None:
        """Release the held events, and end."""

    def abandon(self) -> None:
        """Close soon; callable from any thread."""

"""What a member of a group is to those who use it, whatever stands behind."""

from collections.abc import Callable
from typing import Any, Protocol

from abe_redis.events.event import Event


class InFlightEvent(Protocol):
    """An event in a handler's hand."""

    on_lost: Callable[[], None] | None
    """Called when somebody else has it while the handler is at work."""

    @property
    def event(self) -> Event:
        """What the handler has."""


class ConsumerProtocol(Protocol):
    """A member of a group, as an `EventStream` and an `EventWorker` use it."""

    group: str
    name: str

    async def next(self) -> Event:
        """Finish the events in hand and wait for the next; StopAsyncIteration when closed."""

    async def take(self) -> Any:  # noqa: ANN401 - each has its own kind of `InFlightEvent`
        """Wait for an event beside those in hand; None when closed."""

    def get_nowait(self) -> Any:  # noqa: ANN401 - as above
        """An event that is there already; None when there is none, or it has to be asked for."""

    def finish(self, held: Any, /) -> None:  # noqa: ANN401 - what `take` gave
        """Let an event in hand count as done."""

    def ended(self, held: Any, /) -> None:  # noqa: ANN401 - what `take` gave
        """Note that the handler of an event is not at work any more."""

    def stop_fetching(self) -> None:
        """Take nothing more; what is in hand stays."""

    async def close(self) -> None:
        """Give back what is in hand, and end."""

    def abandon(self) -> None:
        """Close soon; callable from any thread."""

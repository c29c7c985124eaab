"""What a queue and a member of a group are to those who use them, whatever stands behind."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from abe_redis.envelope import Event
from abe_redis.settings import Settings
from abe_redis.streams.names import Patterns
from abe_redis.streams.publish import Published

if TYPE_CHECKING:
    from abe_redis.event_stream import EventStream


class InHand(Protocol):
    """An event in a handler's hand."""

    on_lost: Callable[[], None] | None
    """Called when somebody else has it while the handler is at work."""

    @property
    def event(self) -> Event:
        """What the handler has."""


class Membership(Protocol):
    """A member of a group, as an `EventStream` and an `EventWorker` use it."""

    group: str
    name: str

    async def next(self) -> Event:
        """Finish the events in hand and wait for the next; StopAsyncIteration when closed."""

    async def take(self) -> Any:  # noqa: ANN401 - each has its own kind of `InHand`
        """Wait for an event beside those in hand; None when closed."""

    def take_now(self) -> Any:  # noqa: ANN401 - as above
        """An event that is there already; None when there is none, or it has to be asked for."""

    def finish(self, held: Any, /) -> None:  # noqa: ANN401 - what `take` gave
        """Let an event in hand count as done."""

    def ended(self, held: Any, /) -> None:  # noqa: ANN401 - what `take` gave
        """Note that the handler of an event is not at work any more."""

    def leave_off(self) -> None:
        """Take nothing more; what is in hand stays."""

    async def close(self) -> None:
        """Give back what is in hand, and end."""

    def abandon(self) -> None:
        """Close soon; callable from any thread."""


class Queue(Protocol):
    """A back end, as an `EventWorker` uses it."""

    settings: Settings
    patterns: Patterns

    async def publish_event(
        self, key: str, payload: dict[str, Any], *, event_id: str | None = None, origin: str | None = None
    ) -> Published:
        """Add an event, and say what became of it."""

    def consume(self, *, group: str | None = None) -> "EventStream":
        """The events of every stream that is read, as they come."""

    def consume_ordered(self, *, group: str | None = None) -> "EventStream":
        """The same, in the order of each conversation."""

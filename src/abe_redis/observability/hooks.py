"""Hooks for observers: receiving, publishing, handling, and tool calls.

Without an observer they import nothing and cost almost nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from abe_redis.events.codec import Fields
    from abe_redis.events.event import Event
    from abe_redis.events.published import Published

type Outcome = Literal["done", "retried", "buried", "dropped", "lost", "given_back"]
"""The outcome of a delivery. `given_back`: the worker ended. `lost`: another consumer has the event."""

type CallOutcome = Literal["done", "refused", "failed"]

type Fate = Literal["queued", "answered", "refused"]
"""The outcome of a payload from Slack. `answered`: at once, and nothing was queued."""

type EndOfReceiving = Callable[[Fate, str], None]
"""Called with a detail: the stream of a queued payload, or the reason of a refusal."""
type EndOfPublishing = Callable[["Sequence[Published]", BaseException | None], None]
type EndOfHandling = Callable[[Outcome, Exception | None], None]
type EndOfOverdue = Callable[[], None]
type EndOfCall = Callable[[CallOutcome], None]


class Observer:
    """Called when an operation begins, it returns a function for its end. This one does nothing."""

    def receiving(self, door: str) -> EndOfReceiving | None:
        """Slack has sent something, by `http` or `socket`."""
        del door
        return None

    def publishing(self, stream: str, entries: "Sequence[Fields]") -> EndOfPublishing | None:
        """Events are about to be published; fields may be added to each."""
        del stream, entries
        return None

    def handling(self, event: "Event") -> EndOfHandling | None:
        """A handler is about to be called, in this task."""
        del event
        return None

    def overdue(self, event: "Event") -> EndOfOverdue | None:
        """The handler of an event goes on beyond its limit, or without its lease; the end is when it ends."""
        del event
        return None

    def calling(self, tool: str) -> EndOfCall | None:
        """A call of an agent is about to run."""
        del tool
        return None


_observers: list[Observer] = []


def watch(observer: Observer) -> None:
    """Add an observer until the process ends."""
    _observers.append(observer)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Add an observer for the duration of a block."""
    watch(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


def receiving(door: str) -> EndOfReceiving:
    """As `Observer.receiving`, for all observers."""
    ends = [end for one in _observers if (end := one.receiving(door)) is not None]

    def end_all(fate: Fate, reason: str) -> None:
        for end in reversed(ends):
            end(fate, reason)

    return end_all


def publishing(stream: str, entries: "Sequence[Fields]") -> EndOfPublishing | None:
    """As `Observer.publishing`, for all observers."""
    if not _observers:
        return None
    ends = [end for one in _observers if (end := one.publishing(stream, entries)) is not None]

    def end_all(published: "Sequence[Published]", error: BaseException | None) -> None:
        for end in reversed(ends):
            end(published, error)

    return end_all


def handling(event: "Event") -> EndOfHandling | None:
    """As `Observer.handling`, for all observers."""
    if not _observers:
        return None
    ends = [end for one in _observers if (end := one.handling(event)) is not None]

    def end_all(outcome: Outcome, error: Exception | None) -> None:
        for end in reversed(ends):
            end(outcome, error)

    return end_all


def overdue(event: "Event") -> EndOfOverdue:
    """As `Observer.overdue`, for all observers."""
    ends = [end for one in _observers if (end := one.overdue(event)) is not None]

    def end_all() -> None:
        for end in reversed(ends):
            end()

    return end_all


def calling(tool: str) -> EndOfCall | None:
    """As `Observer.calling`, for all observers."""
    if not _observers:
        return None
    ends = [end for one in _observers if (end := one.calling(tool)) is not None]

    def end_all(outcome: CallOutcome) -> None:
        for end in reversed(ends):
            end(outcome)

    return end_all

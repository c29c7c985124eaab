"""Hooks for observers: receiving, publishing, handling, and tool calls.

Without an observer they import nothing and cost almost nothing. An observer that fails, as one does in which
a program's own exporter of spans raises, concerns no event: the log names its failure, once.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from abe_redis.events.codec import Fields
    from abe_redis.events.event import Event
    from abe_redis.events.published import Published

_LOG = logging.getLogger(__name__)

type Outcome = Literal["done", "retried", "buried", "dropped", "lost", "given_back"]
"""The outcome of a delivery. `given_back`: the worker ended. `lost`: another consumer has the event."""

type CallOutcome = Literal["done", "refused", "failed"]

type Fate = Literal["queued", "answered", "refused"]
"""The outcome of a payload from Slack. `answered`: at once, and nothing was queued."""

OF_STRANGERS = frozenset(
    {"no POST", "no signature", "bad signature", "stale", "too large", "hung up", "no body"}
)
"""Reasons for which a request is refused before anybody knows whether it is Slack's."""

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


def _begun[End](begin: Callable[[Observer], End | None]) -> list[End]:
    """Tell each observer of a beginning, and return what is to be called at the end."""
    ends = []
    for one in _observers:
        try:
            if (end := begin(one)) is not None:
                ends.append(end)
        except BaseException as error:  # noqa: BLE001 - it is logged; Ctrl-C goes on
            _complain(error)
    return ends


def _ended[**Facts](ends: list[Callable[Facts, None]], *facts: Facts.args, **named: Facts.kwargs) -> None:
    """Tell each observer of the end."""
    for end in reversed(ends):
        try:
            end(*facts, **named)
        except BaseException as error:  # noqa: BLE001 - it is logged; Ctrl-C goes on
            _complain(error)


_complaints = set[str]()


def _complain(error: BaseException) -> None:
    """Log a failure of an observer, once for each kind; nothing was awaited, so it is the observer's own.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    from abe_redis.runtime.signals import is_ctrl_c  # noqa: PLC0415 - most programs need none of these
    from abe_redis.sanitize.exceptions import describe, place  # noqa: PLC0415

    if is_ctrl_c(error):
        raise error
    if (kind := type(error).__qualname__) not in _complaints:
        _complaints.add(kind)
        at = place(error)
        _LOG.warning(
            "What observes this program, as an exporter of spans does, failed with %s%s. No event is lost by "
            "that, only a span or a count. Others of its type are not logged.",
            *(describe(error), f" at {at}" if at else ""),
        )


def receiving(door: str) -> EndOfReceiving:
    """As `Observer.receiving`, for all observers."""
    ends = _begun(lambda one: one.receiving(door))

    def end_all(fate: Fate, reason: str) -> None:
        _ended(ends, fate, reason)

    return end_all


def publishing(stream: str, entries: "Sequence[Fields]") -> EndOfPublishing | None:
    """As `Observer.publishing`, for all observers."""
    if not _observers:
        return None
    ends = _begun(lambda one: one.publishing(stream, entries))

    def end_all(published: "Sequence[Published]", error: BaseException | None) -> None:
        _ended(ends, published, error)

    return end_all


def handling(event: "Event") -> EndOfHandling | None:
    """As `Observer.handling`, for all observers."""
    if not _observers:
        return None
    ends = _begun(lambda one: one.handling(event))

    def end_all(outcome: Outcome, error: Exception | None) -> None:
        _ended(ends, outcome, error)

    return end_all


def overdue(event: "Event") -> EndOfOverdue:
    """As `Observer.overdue`, for all observers."""
    ends = _begun(lambda one: one.overdue(event))

    def end_all() -> None:
        _ended(ends)

    return end_all


def calling(tool: str) -> EndOfCall | None:
    """As `Observer.calling`, for all observers."""
    if not _observers:
        return None
    ends = _begun(lambda one: one.calling(tool))

    def end_all(outcome: CallOutcome) -> None:
        _ended(ends, outcome)

    return end_all

"""One entry in flight, and the buffer of entries that wait for a handler."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from abe_redis.events.event import Event
from abe_redis.streams import lease


@dataclass(slots=True, eq=False)
class Held:
    """An entry that this consumer holds."""

    entry: lease.Leased
    key: tuple[str, str]
    """Stream and id."""
    leased_at: float
    """Time, by `clock.now`, of the request that leased or renewed it; the lease began then or later."""
    handed_at: float | None = None
    """Monotonic time when it was given to the handler."""
    lost: bool = False
    """Whether another consumer may hold it now."""
    on_lost: Callable[[], None] | None = None
    """Called when it is lost while the handler has it."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """Further fields of its dead letter, besides the reason."""
    is_of_full: bool = False
    """Whether its handler and others of its worker, all beyond their limits, hold all places there."""
    has_ended: bool = False
    """Whether its cancellable handler has ended."""
    is_left: bool = False
    """Whether a function goes on with it, though its worker has ended: it stays under its lease."""
    opened: Event | None = None
    """The event, while a handler works on it."""

    reason: str = ""
    """Why its handler gave it back."""
    is_spared: bool = False
    """Whether its release leaves the present delivery uncounted."""
    is_late: bool = False
    """Whether it is finished, and Redis could not be told, or did not answer."""
    is_let_go: bool = False
    """Whether a command that releases or buries it was sent; the answer may be missing."""
    is_given_up: bool = False
    """Whether a person took it from us; its handler, if it has one, may go on."""

    @property
    def event(self) -> Event:
        """The event that the handler works on."""
        if self.opened is None:
            raise RuntimeError("No handler works on this event.")
        return self.opened

    @property
    def begun(self) -> int:
        """Number of its deliveries that a handler has begun, without one that does not count."""
        return self.entry.deliveries - (self.handed_at is None or self.is_spared)

    @property
    def may_be_put_back(self) -> bool:
        """Whether it is ours if nobody holds it: neither we nor a person let go of it."""
        return not (self.is_let_go or self.is_given_up)

    @property
    def is_over(self) -> bool:
        """Whether its handler has finished with it, or it needs no handler."""
        return self.is_let_go or (self.handed_at is not None and self.opened is None)

    @property
    def is_at_work(self) -> bool:
        """Whether a cancellable handler is working on it, or a function that its worker has left behind."""
        return self.is_left or (self.on_lost is not None and not self.has_ended)

    def lose(self) -> None:
        """Note that we no longer hold it."""
        if not self.lost:
            self.lost = True
            if self.on_lost is not None:
                self.on_lost()


class Buffer(Protocol):
    """Prefetched entries, in the order of their delivery; a `deque` is one."""

    def __iter__(self) -> Iterator[Held]: ...

    def __len__(self) -> int: ...

    def append(self, held: Held, /) -> None:
        """Take in what was leased."""

    def remove(self, held: Held, /) -> None:
        """Let go of one."""

    def clear(self) -> None:
        """Let go of all."""

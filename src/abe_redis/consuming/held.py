"""One entry in flight, and what holds those that no handler has yet."""

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
    """When, by `clock.now`, the lease was asked for or renewed; it began then or later."""
    handed_at: float | None = None
    """Monotonic time when it was given to the handler."""
    lost: bool = False
    """Whether somebody else holds it by now."""
    on_lost: Callable[[], None] | None = None
    """Called when it is lost while the handler has it."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """What is kept beside the reason when it is buried."""
    has_ended: bool = False
    """Whether the handler that can be cancelled is not at work any more."""
    opened: Event | None = None
    """The event, while it is in a handler's hand."""

    is_spared: bool = False
    """Whether it is given back without counting the delivery that ends with it."""
    is_let_go: bool = False
    """Whether Redis was told that it is given back or buried, though the answer may not have come."""

    @property
    def event(self) -> Event:
        """What the handler has in hand."""
        if self.opened is None:
            raise RuntimeError("It is not in a handler's hand.")
        return self.opened

    @property
    def begun(self) -> int:
        """How many of its deliveries handlers began, without one that does not count."""
        return self.entry.deliveries - (self.handed_at is None or self.is_spared)

    @property
    def is_over(self) -> bool:
        """Whether its handler is done with it, or it needs none."""
        return self.is_let_go or (self.handed_at is not None and self.opened is None)

    @property
    def is_at_work(self) -> bool:
        """Whether a handler that can be cancelled is at work with it."""
        return self.on_lost is not None and not self.has_ended

    def lose(self) -> None:
        """Note that it is not ours any more."""
        if not self.lost:
            self.lost = True
            if self.on_lost is not None:
                self.on_lost()


class Buffer(Protocol):
    """What is leased ahead, in the order in which it is handed out; a `deque` is one."""

    def __iter__(self) -> Iterator[Held]: ...

    def __len__(self) -> int: ...

    def append(self, held: Held, /) -> None:
        """Take in what was leased."""

    def remove(self, held: Held, /) -> None:
        """Let go of one."""

    def clear(self) -> None:
        """Let go of all."""

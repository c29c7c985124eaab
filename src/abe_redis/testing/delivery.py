"""Which consumer of a group has which event, in memory: the rules of the real delivery without a server."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from abe_redis.events import codec
from abe_redis.events.arrival import Arrival
from abe_redis.events.codec import DATA
from abe_redis.events.event import Event
from abe_redis.runtime.plurals import count
from abe_redis.streams.patterns import Patterns


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """The entries of a stream and its groups."""

    stream: str
    id: str
    data: bytes
    conversation: str | None
    origin: str | None
    merged_types: tuple[str, ...] = ()
    arrival: Arrival | None = None

    def payload(self) -> dict[str, Any]:
        """The event, a new one each time."""
        return codec.decode({DATA: self.data})


@dataclass(slots=True, eq=False)
class Delivery:
    """An entry that a group has yet to finish."""

    entry: StoredEntry
    deliveries: int = 0
    due: float = 0.0
    """Monotonic time before which nobody gets it."""
    holder: object | None = None
    """The consumer that has it in flight."""
    opened: Event | None = None
    on_lost: Callable[[], None] | None = None
    last_words: str = ""
    """Why it was given back last."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """A worker's facts about the failure."""
    is_of_full: bool = False
    is_left: bool = False
    """Whether a function goes on with it, though its worker has ended."""

    @property
    def lost(self) -> bool:
        """Whether no consumer holds it any more."""
        return self.holder is None

    @property
    def event(self) -> Event:
        """The event that the handler works on."""
        if self.opened is None:
            raise RuntimeError("No handler works on this event.")
        return self.opened

    def give_back(self, *, due: float = 0.0) -> None:
        """Release it."""
        self.holder = self.opened = self.on_lost = None
        self.is_left = False
        self.due = due


@dataclass(frozen=True, slots=True)
class Letter:
    """An entry that a group gave up on."""

    entry: StoredEntry
    group: str
    reason: str
    deliveries: int


@dataclass(slots=True)
class _Group:
    streams: dict[str, list[Delivery]] = field(default_factory=dict)
    """The unfinished entries of each stream, the oldest first; the stream whose turn it is comes first."""


class MemoryGroups:
    """The groups of one queue."""

    def __init__(self, entries: Callable[[], Iterator[StoredEntry]]) -> None:
        self.buried: list[Letter] = []
        self._entries = entries
        self._groups: dict[str, _Group] = {}
        self._changed = anyio.Event()

    async def change(self, *, seconds: float | None = None) -> None:
        """Wait until something changes, for `seconds` at most."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()

    def changed(self) -> None:
        """Wake all who wait."""
        event, self._changed = self._changed, anyio.Event()
        event.set()

    def add(self, entry: StoredEntry) -> None:
        """Add a new entry to each group."""
        for group in self._groups.values():
            group.streams.setdefault(entry.stream, []).append(Delivery(entry))
        self.changed()

    def join(self, name: str) -> None:
        """Make a group that is not there yet; it begins with the oldest event."""
        if name not in self._groups:
            group = self._groups[name] = _Group()
            for entry in self._entries():
                group.streams.setdefault(entry.stream, []).append(Delivery(entry))

    def unfinished(self, name: str, patterns: Patterns) -> int:
        """Number of entries that a group has not finished; for a missing group, all entries."""
        if name not in self._groups:
            return sum(patterns.match(entry.stream) for entry in self._entries())
        streams = self._groups[name].streams
        return sum(len(left) for stream, left in streams.items() if patterns.match(stream))

    def next(
        self, name: str, patterns: Patterns, *, ordered: bool, most_deliveries: int
    ) -> tuple[Delivery | None, float | None]:
        """The next delivery.

        Returns:
            A delivery, or None; and then the seconds until one may be due.
        """
        group, now = self._groups[name], time.monotonic()
        soonest: float | None = None
        for stream in list(group.streams):
            if not patterns.match(stream):
                continue
            busy: set[str | None] = set()
            for delivery in list(group.streams[stream]):
                conversation = delivery.entry.conversation if ordered else None
                if delivery.holder is None and conversation not in busy - {None}:
                    if delivery.due <= now:
                        if delivery.deliveries < most_deliveries:
                            group.streams[stream] = group.streams.pop(stream)  # now others have a turn
                            return delivery, None
                        why = f"delivered {count(delivery.deliveries, 'time')} without an ack"
                        said = delivery.last_words
                        self.bury(name, delivery, f"{why}, last given back with: {said}" if said else why)
                        continue
                    soonest = min(soonest or delivery.due, delivery.due)
                busy.add(conversation)
        return None, None if soonest is None else soonest - now

    def finish(self, name: str, delivery: Delivery) -> None:
        """Finish it."""
        self._groups[name].streams[delivery.entry.stream].remove(delivery)
        delivery.give_back()
        self.changed()

    def bury(self, name: str, delivery: Delivery, reason: str) -> None:
        """Give up on it."""
        self.buried.append(Letter(delivery.entry, name, reason, delivery.deliveries))
        self.finish(name, delivery)

    def lose_leases(self) -> None:
        """End the leases of all events in flight."""
        for group in self._groups.values():
            for delivery in [one for left in group.streams.values() for one in left if one.holder]:
                on_lost = delivery.on_lost
                delivery.give_back()
                if on_lost is not None:
                    on_lost()
        self.changed()

"""Waiting entries by conversation: one event of each is being handled, and the next waits for its end."""

import heapq
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain

from abe_redis.consuming.held import Held
from abe_redis.events import codec
from abe_redis.events.slack import conversation_of
from abe_redis.streams import ids
from abe_redis.streams.lease import Leased

type Key = tuple[str, bytes]
"""A stream, and the name of a conversation in it."""


def _conversation(entry: Leased) -> Key:
    """The conversation of an entry; an entry without one is a conversation of its own."""
    name = entry.fields.get(codec.CONVERSATION)
    if name is None:
        try:
            found = conversation_of(codec.decode(entry.fields))
        except codec.UndecodableError:
            found = None
        name = found.encode(errors="surrogatepass") if found else b"\0" + entry.id.encode()
    return entry.stream, name


class ConversationQueues:
    """The unfinished entries of a consumer, as a `Buffer` in which the conversations take turns."""

    def __init__(self) -> None:
        self._waiting: dict[Key, deque[Held]] = {}
        self._at_work: dict[Key, Held] = {}
        self._keys: dict[Held, Key] = {}
        """The conversation of each entry that waits or is being handled."""
        self._turn: dict[Key, None] = {}
        """Conversations whose first event may be delivered, the one that has waited longest first."""
        self._later: list[tuple[float, Key]] = []
        """A heap of the times at which the first event of a conversation may be delivered."""
        self._not_before: dict[Held, float] = {}
        self._suspects: set[Held] = set()
        self._stopped: set[str] = set()
        self._counts = Counter[str]()
        self._bytes = Counter[str]()

    def __iter__(self) -> Iterator[Held]:
        return chain.from_iterable(self._waiting.values())

    def __len__(self) -> int:
        return self._counts.total()

    @property
    def at_work(self) -> list[Held]:
        """What is with a handler."""
        return list(self._at_work.values())

    @property
    def at_once(self) -> int:
        """Number of events that could be handled at the same time now."""
        return len(self._turn)

    def count(self, stream: str) -> int:
        """Number of waiting entries of a stream."""
        return self._counts[stream]

    def bytes(self, stream: str) -> int:
        """Their total size."""
        return self._bytes[stream]

    def is_at_work(self, stream: str) -> bool:
        """Whether an event of a stream is being handled."""
        return any(name == stream for name, _ in self._at_work)

    # In and out -------------------------------------------------------------------------------

    def append(self, held: Held) -> None:
        """Add an entry, at the position of its id."""
        key = self._keys[held] = _conversation(held.entry)
        waiting = self._waiting.setdefault(key, deque())
        at = len(waiting)
        if at and ids.order(waiting[-1].entry.id) > (place := ids.order(held.entry.id)):
            at = next(at for at, other in enumerate(waiting) if ids.order(other.entry.id) > place)
        waiting.insert(at, held)
        self._counts[key[0]] += 1
        self._bytes[key[0]] += _size(held)
        self._settle(key)

    def postpone(self, held: Held, until: float) -> None:
        """Deliver a waiting entry, and those behind it, not before a time by `clock.now`."""
        self._not_before[held] = until
        self._settle(self._keys[held])

    def isolate(self, held: Held) -> None:
        """Deliver an entry only while no other possible poison event is being handled."""
        self._suspects.add(held)

    def next(self, now: float) -> Held | None:
        """The entry whose turn it is at a time by `clock.now`; it stays here until it is taken."""
        while self._later and self._later[0][0] <= now:
            self._settle(heapq.heappop(self._later)[1], now)
        if not self._suspects:
            return self._waiting[next(iter(self._turn))][0] if self._turn else None
        suspected = not self._suspects.isdisjoint(self._at_work.values())
        for key in self._turn:
            held = self._waiting[key][0]
            if not (suspected and held in self._suspects):
                return held
        return None

    def next_at(self) -> float | None:
        """The time, by `clock.now`, when the next postponed entry may be handed out."""
        return self._later[0][0] if self._later else None

    def take(self, held: Held) -> None:
        """Give what `next` gave to a handler."""
        key = self._keys[held]
        self._pop(held)
        self._at_work[key] = held
        self._settle(key)

    def ended(self, held: Held) -> None:
        """Note that the handler has ended; the entries behind may be delivered."""
        key = self._keys.get(held)
        if key is not None and self._at_work.get(key) is held:
            del self._at_work[key]
            self._forget(held)
            self._settle(key)

    def remove(self, held: Held) -> None:
        """Remove a waiting entry."""
        key = self._keys[held]
        self._pop(held)
        self._forget(held)
        self._settle(key)

    def clear(self) -> None:
        """Remove all waiting entries."""
        for held in list(self):
            self.remove(held)

    # Streams as a whole -----------------------------------------------------------------------

    def waiting_in(self, stream: str) -> list[Held]:
        """The waiting entries of a stream."""
        return [held for held in self if held.entry.stream == stream]

    def stop(self, stream: str) -> None:
        """Deliver nothing of a stream until `resume`."""
        if stream not in self._stopped:
            self._stopped.add(stream)
            self._settle_all(stream)

    def resume(self, stream: str) -> None:
        """Deliver the waiting entries of a stream again."""
        if stream in self._stopped:
            self._stopped.discard(stream)
            self._settle_all(stream)

    def drop(self, stream: str) -> list[Held]:
        """Remove the waiting entries of a stream, and forget that it was stopped.

        Returns:
            What it was.
        """
        dropped = self.waiting_in(stream)
        for held in dropped:
            self.remove(held)
        self._stopped.discard(stream)
        return dropped

    # ------------------------------------------------------------------------------------------

    def _settle_all(self, stream: str) -> None:
        for key in [key for key in self._waiting if key[0] == stream]:
            self._settle(key)

    def _settle(self, key: Key, now: float | None = None) -> None:
        """Whether it is this conversation's turn, from now on or later."""
        waiting = self._waiting.get(key)
        first = waiting[0] if waiting and key not in self._at_work and key[0] not in self._stopped else None
        until = None if first is None else self._not_before.get(first)
        if first is not None and (until is None or (now is not None and until <= now)):
            self._not_before.pop(first, None)
            self._turn.setdefault(key)
            return
        self._turn.pop(key, None)
        if until is not None:
            heapq.heappush(self._later, (until, key))

    def _pop(self, held: Held) -> None:
        key = self._keys[held]
        waiting = self._waiting[key]
        waiting.remove(held)
        if not waiting:
            del self._waiting[key]
        self._counts[key[0]] -= 1
        self._bytes[key[0]] -= _size(held)

    def _forget(self, held: Held) -> None:
        del self._keys[held]
        self._not_before.pop(held, None)
        self._suspects.discard(held)


def _size(held: Held) -> int:
    return len(held.entry.fields.get(codec.DATA, b""))

"""Waiting entries by conversation: one event of each is being handled, and the next waits for its end."""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from abe_redis.consuming.held import Held
from abe_redis.events import codec
from abe_redis.events.conversation import conversation_of
from abe_redis.streams import ids
from abe_redis.streams.lease import Leased

type Key = tuple[str, bytes]
"""A stream, and the name of a conversation in it."""

_AT_ONCE = float("-inf")


@dataclass(slots=True, eq=False)
class Queued:
    """An entry of a conversation."""

    held: Held
    conversation: "Conversation"
    not_before: float = _AT_ONCE
    """The time, by `clock.now`, before which it is not delivered."""
    is_isolated: bool = False
    """Whether it may be a poison event, which is handled only while no other such entry is."""

    @property
    def size(self) -> int:
        """The length of its payload in bytes."""
        return len(self.held.entry.fields.get(codec.DATA, b""))


@dataclass(slots=True, eq=False)
class Conversation:
    """The unfinished entries of one conversation."""

    key: Key
    waiting: deque[Queued] = field(default_factory=deque)
    """In the order of the stream."""
    at_work: Queued | None = None
    """The entry that is being handled; those that wait are behind it."""
    wakes_at: float | None = None
    """The time at which `ConversationQueues` looks at it again because its first entry is postponed."""

    @property
    def stream(self) -> str:
        """The stream of its entries."""
        return self.key[0]

    @property
    def next(self) -> Queued | None:
        """The entry to deliver next; None if none waits, or while another one is being handled."""
        return self.waiting[0] if self.waiting and self.at_work is None else None

    def insert(self, queued: Queued) -> None:
        """Add a waiting entry, at the position of its id."""
        waiting, place, at = self.waiting, _place(queued), len(self.waiting)
        if at and _place(waiting[-1]) > place:
            at = next(at for at, other in enumerate(waiting) if _place(other) > place)
        waiting.insert(at, queued)


class ConversationQueues:
    """The unfinished entries of a consumer, as a `Buffer` in which the conversations take turns.

    A conversation is in the ready queue while its next entry may be delivered.
    """

    def __init__(self) -> None:
        self._conversations: dict[Key, Conversation] = {}
        """Those with an entry that waits or is being handled."""
        self._queued: dict[Held, Queued] = {}
        """Every entry that waits or is being handled."""
        self._at_work: dict[Held, Queued] = {}
        self._ready: dict[Conversation, None] = {}
        """The ready queue; the conversation that has waited longest is first."""
        self._postponed: list[tuple[float, int, Conversation]] = []
        """A heap of the times at which the next entry of a conversation may be delivered."""
        self._serial = itertools.count()
        self._stopped: set[str] = set()
        self._counts = Counter[str]()
        self._bytes = Counter[str]()

    def __iter__(self) -> Iterator[Held]:
        for conversation in self._conversations.values():
            for queued in conversation.waiting:
                yield queued.held

    def __len__(self) -> int:
        return self._counts.total()

    @property
    def at_work(self) -> list[Held]:
        """The entries that are being handled."""
        return list(self._at_work)

    @property
    def at_once(self) -> int:
        """Number of events that could be handled at the same time now."""
        return len(self._ready)

    def count(self, stream: str) -> int:
        """Number of waiting entries of a stream."""
        return self._counts[stream]

    def bytes(self, stream: str) -> int:
        """Their total size."""
        return self._bytes[stream]

    def is_at_work(self, stream: str) -> bool:
        """Whether an event of a stream is being handled."""
        return any(held.entry.stream == stream for held in self._at_work)

    # In and out -------------------------------------------------------------------------------

    def append(self, held: Held) -> None:
        """Add an entry, at the position of its id."""
        key = _key_of(held.entry)
        conversation = self._conversations.get(key)
        if conversation is None:
            conversation = self._conversations[key] = Conversation(key)
        queued = self._queued[held] = Queued(held, conversation)
        conversation.insert(queued)
        self._counts[conversation.stream] += 1
        self._bytes[conversation.stream] += queued.size
        self._settle(conversation)

    def postpone(self, held: Held, until: float) -> None:
        """Deliver a waiting entry, and those behind it, not before a time by `clock.now`."""
        queued = self._queued[held]
        queued.not_before = until
        self._settle(queued.conversation)

    def isolate(self, held: Held) -> None:
        """Deliver an entry only while no other possible poison event is being handled."""
        self._queued[held].is_isolated = True

    def next(self, now: float) -> Held | None:
        """The entry whose turn it is at a time by `clock.now`; it stays here until it is taken."""
        while self._postponed and self._postponed[0][0] <= now:
            at, _, conversation = heapq.heappop(self._postponed)
            if conversation.wakes_at == at:
                conversation.wakes_at = None
            self._settle(conversation, now)
        for conversation in self._ready:
            queued = conversation.waiting[0]
            if queued.held.lost:  # `remove_lost` comes soon
                continue
            if not (queued.is_isolated and any(other.is_isolated for other in self._at_work.values())):
                return queued.held
        return None

    def next_at(self) -> float | None:
        """The time, by `clock.now`, when the next postponed entry may be delivered."""
        return self._postponed[0][0] if self._postponed else None

    def take(self, held: Held) -> None:
        """Give what `next` returned to a handler."""
        queued = self._queued[held]
        self._end_waiting(queued)
        queued.conversation.at_work = self._at_work[held] = queued
        self._settle(queued.conversation)

    def ended(self, held: Held) -> None:
        """Note that the handler has ended; the entries behind may be delivered."""
        queued = self._at_work.pop(held, None)
        if queued is not None:
            queued.conversation.at_work = None
            self._forget(queued)

    def remove(self, held: Held) -> None:
        """Remove a waiting entry."""
        queued = self._queued[held]
        self._end_waiting(queued)
        self._forget(queued)

    def remove_lost(self) -> bool:
        """Remove the waiting entries that others took by force; whether there are any."""
        lost = [held for held in self if held.lost]
        for held in lost:
            self.remove(held)
        return bool(lost)

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
            The removed entries.
        """
        dropped = self.waiting_in(stream)
        for held in dropped:
            self.remove(held)
        self._stopped.discard(stream)
        return dropped

    # ------------------------------------------------------------------------------------------

    def _settle_all(self, stream: str) -> None:
        for conversation in list(self._conversations.values()):
            if conversation.stream == stream:
                self._settle(conversation)

    def _settle(self, conversation: Conversation, now: float = _AT_ONCE) -> None:
        """Put a conversation into the ready queue or among the postponed ones, or take it out."""
        queued = None if conversation.stream in self._stopped else conversation.next
        if queued is not None and queued.not_before <= now:
            queued.not_before = _AT_ONCE
            self._ready.setdefault(conversation)
            return
        self._ready.pop(conversation, None)
        if queued is not None and conversation.wakes_at != queued.not_before:
            conversation.wakes_at = queued.not_before
            heapq.heappush(self._postponed, (queued.not_before, next(self._serial), conversation))

    def _end_waiting(self, queued: Queued) -> None:
        conversation = queued.conversation
        conversation.waiting.remove(queued)
        self._counts[conversation.stream] -= 1
        self._bytes[conversation.stream] -= queued.size

    def _forget(self, queued: Queued) -> None:
        del self._queued[queued.held]
        conversation = queued.conversation
        self._settle(conversation)
        if not conversation.waiting and conversation.at_work is None:
            del self._conversations[conversation.key]


def _key_of(entry: Leased) -> Key:
    """The conversation of an entry; an entry without one is a conversation of its own."""
    name = entry.fields.get(codec.CONVERSATION)
    if name is None:
        try:
            found = conversation_of(codec.decode(entry.fields))
        except codec.UndecodableError:
            found = None
        name = found.encode(errors="surrogatepass") if found else b""
    return entry.stream, name or b"\0" + entry.id.encode()


def _place(queued: Queued) -> tuple[int, int]:
    return ids.order(queued.held.entry.id)

"""A conversation: its waiting entries in order, and the one that is being handled."""

from collections import deque
from dataclasses import dataclass, field

from abe_redis.consuming.held import Held
from abe_redis.events import codec
from abe_redis.events.slack import conversation_of
from abe_redis.streams import ids
from abe_redis.streams.lease import Leased

type Key = tuple[str, bytes]
"""A stream, and the name of a conversation in it."""

AT_ONCE = float("-inf")


def key_of(entry: Leased) -> Key:
    """The conversation of an entry; an entry without one is a conversation of its own."""
    name = entry.fields.get(codec.CONVERSATION)
    if name is None:
        try:
            found = conversation_of(codec.decode(entry.fields))
        except codec.UndecodableError:
            found = None
        name = found.encode(errors="surrogatepass") if found else b"\0" + entry.id.encode()
    return entry.stream, name


@dataclass(slots=True, eq=False)
class Queued:
    """An entry of a conversation."""

    held: Held
    conversation: "Conversation"
    not_before: float = AT_ONCE
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


def _place(queued: Queued) -> tuple[int, int]:
    return ids.order(queued.held.entry.id)

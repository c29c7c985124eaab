"""A stream and its groups, as Redis 7.0 keeps them: the data, and the arithmetic of `entries-read` and `lag`.

After Redis's own t_stream.c in its behaviour; compared with a server by test_server.py.
"""

from collections.abc import Iterator

from tests.simulation.server.replies import Refused

type Id = tuple[int, int]

MOST = 2**64 - 1
ZERO: Id = (0, 0)
LARGEST: Id = (MOST, MOST)


class Row:
    """What the group's pending entries list says of an entry."""

    __slots__ = ("consumer", "count", "delivered")

    def __init__(self, consumer: bytes, delivered: int, count: int) -> None:
        self.consumer = consumer
        self.delivered = delivered
        self.count = count


class Group:
    """A consumer group."""

    __slots__ = ("consumers", "last", "pending", "read")

    def __init__(self, last: Id, read: int | None) -> None:
        self.last = last
        self.read = read
        """`entries-read`; None when it is not known."""
        self.pending: dict[Id, Row] = {}
        self.consumers: dict[bytes, int] = {}
        """By name, when each was last seen."""

    def rows(self) -> list[tuple[Id, Row]]:
        """The pending entries by their ids."""
        return sorted(self.pending.items())

    def copy(self) -> "Group":
        """The same once more."""
        copy = Group(self.last, self.read)
        copy.pending = {key: Row(row.consumer, row.delivered, row.count) for key, row in self.pending.items()}
        copy.consumers = dict(self.consumers)
        return copy


class Stream:
    """A stream."""

    __slots__ = ("added", "entries", "groups", "last", "max_deleted")

    def __init__(self) -> None:
        self.entries: dict[Id, list[bytes]] = {}
        """In the order of their ids."""
        self.last: Id = ZERO
        self.added = 0
        self.max_deleted: Id = ZERO
        self.groups: dict[bytes, Group] = {}

    def copy(self) -> "Stream":
        """The same once more."""
        copy = Stream()
        copy.entries = dict(self.entries)
        copy.last, copy.added, copy.max_deleted = self.last, self.added, self.max_deleted
        copy.groups = {name: group.copy() for name, group in self.groups.items()}
        return copy

    @property
    def first(self) -> Id:
        """The id of the first entry."""
        return next(iter(self.entries), ZERO)

    def add(self, entry_id: Id, fields: list[bytes]) -> None:
        """Add an entry behind all others."""
        self.entries[entry_id] = fields
        self.last = entry_id
        self.added += 1

    def next_id(self, now: int) -> Id:
        """The id that `*` stands for."""
        return (now, 0) if now > self.last[0] else (self.last[0], self.last[1] + 1)

    def between(self, start: Id, end: Id) -> Iterator[Id]:
        """The ids from one to another."""
        return (entry_id for entry_id in self.entries if start <= entry_id <= end)

    def delete(self, entry_id: Id) -> bool:
        """Delete an entry, as XDEL does."""
        if self.entries.pop(entry_id, None) is None:
            return False
        self.max_deleted = max(self.max_deleted, entry_id)
        return True

    def has_tombstones_from(self, start: Id) -> bool:
        """Whether an entry was deleted from there on."""
        return bool(self.entries) and self.max_deleted != ZERO and start <= self.max_deleted

    def distance(self, entry_id: Id) -> int | None:
        """How many entries there ever were up to an id, if that is known."""
        if not self.added:
            return 0
        if (not self.entries and entry_id <= self.last) or entry_id == self.last:
            return self.added
        if entry_id > self.last:
            return None
        if self.max_deleted == ZERO or self.max_deleted < self.first:
            if entry_id < self.first:
                return self.added - len(self.entries)
            if entry_id == self.first:
                return self.added - len(self.entries) + 1
        return None

    def note_read(self, group: Group, entry_id: Id) -> None:
        """Note that a group was given an entry."""
        if entry_id <= group.last:
            return
        if group.read is not None and not self.has_tombstones_from(entry_id):
            group.read += 1
        elif self.added:
            group.read = self.distance(entry_id)
        group.last = entry_id

    def lag(self, group: Group) -> int | None:
        """How many entries a group was not given yet, if that is known."""
        if not self.added:
            return 0
        if group.read is not None and not self.has_tombstones_from(group.last):
            return self.added - group.read
        read = self.distance(group.last)
        return None if read is None else self.added - read


def shown(entry_id: Id) -> bytes:
    """An id as text."""
    return b"%d-%d" % entry_id


def parsed(word: bytes, *, sequence: int = 0) -> Id:
    """An id from text.

    Args:
        word: The text.
        sequence: What a missing sequence number stands for.

    Raises:
        Refused: It is none.
    """
    ms, dash, rest = word.partition(b"-")
    try:
        return int(ms), int(rest) if dash else sequence
    except ValueError:
        raise Refused("ERR Invalid stream ID specified as stream command argument") from None


def bounds(start: bytes, end: bytes) -> tuple[Id, Id]:
    """The ends of a range, as XRANGE and XPENDING take them."""
    return _bound(start, low=True), _bound(end, low=False)


def _bound(word: bytes, *, low: bool) -> Id:
    if word == b"-":
        return ZERO
    if word == b"+":
        return LARGEST
    if word.startswith(b"("):
        ms, seq = parsed(word[1:], sequence=0 if low else MOST)
        if low:
            return (ms, seq + 1) if seq < MOST else (ms + 1, 0)
        return (ms, seq - 1) if seq else (ms - 1, MOST)
    return parsed(word, sequence=0 if low else MOST)

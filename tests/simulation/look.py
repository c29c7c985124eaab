"""What the server has: which events are unfinished, what is counted as lost, and what is due."""

from collections.abc import Iterable, Iterator

from tests.chaos.history import Left, Violation
from tests.simulation.server.keyspace import Keyspace, SortedSet
from tests.simulation.server.streams import Stream, shown


def number_in(data: bytes) -> str:
    """The number of the event that an entry holds."""
    _, _, rest = data.partition(b'"n":')
    return rest.strip(b"}").decode()


def stream_of(db: Keyspace, name: str) -> Stream | None:
    """A stream, if it is there."""
    value = db.values.get(name.encode())
    return value if isinstance(value, Stream) else None


def postponed(db: Keyspace, stream: str, group: str) -> Iterator[tuple[str, str, str]]:
    """The entries that a group has postponed: the group, the entry, and the consumer that has it, if any."""
    value, of = db.values.get(f"abe:due:{{{stream}}}:{group}".encode()), stream_of(db, stream)
    its = of.groups.get(group.encode()) if of else None
    if isinstance(value, SortedSet):
        having = {shown(key): row.consumer.decode() for key, row in its.pending.items()} if its else {}
        for _, entry in value.rows():
            yield group, entry.decode(), having.get(entry, "")


def consumers(db: Keyspace, stream: str, group: str) -> list[str]:
    """The consumers of a group that Redis has, in an order that no host's name decides."""
    of = stream_of(db, stream)
    its = of.groups.get(group.encode()) if of else None
    return (
        sorted((name.decode() for name in its.consumers), key=lambda name: name.rpartition("-")[2])
        if its
        else []
    )


def has_group(db: Keyspace, stream: str, group: str) -> bool:
    """Whether a stream has a group."""
    of = stream_of(db, stream)
    return of is not None and group.encode() in of.groups


def position(db: Keyspace, stream: str, group: str) -> str:
    """The last id that a group was given; empty if the stream has no such group."""
    of = stream_of(db, stream)
    its = of.groups.get(group.encode()) if of else None
    return shown(its.last).decode() if its else ""


def pending(db: Keyspace, stream: str, group: str) -> list[tuple[str, str]]:
    """The entries that a group has pending, each with the consumer that has it."""
    of = stream_of(db, stream)
    its = of.groups.get(group.encode()) if of else None
    return [(shown(key).decode(), row.consumer.decode()) for key, row in its.pending.items()] if its else []


def held(db: Keyspace, stream: str, group: str, consumer: str) -> set[str]:
    """The numbers of the events that a consumer has pending."""
    of = stream_of(db, stream)
    if of is None or group.encode() not in of.groups:
        return set()
    mine = {
        key for key, row in of.groups[group.encode()].pending.items() if row.consumer == consumer.encode()
    }
    return {number_in(fields[fields.index(b"data") + 1]) for key, fields in of.entries.items() if key in mine}


def is_done(db: Keyspace, streams: Iterable[str], groups: Iterable[str]) -> bool:
    """Whether every group has finished every stream."""
    groups = list(groups)
    for name in streams:
        stream = stream_of(db, name)
        if stream is None:
            continue
        last = next(reversed(stream.entries), (0, 0))
        for group in groups:
            of = stream.groups.get(group.encode())
            if of is None or of.pending or of.last < last:
                return False
    return True


def left(db: Keyspace, streams: Iterable[str], group: str) -> Left:
    """What is left of a group."""
    found = Left()
    for name in streams:
        records = db.values.get(f"abe:groups:{{{name}}}".encode())
        if isinstance(records, dict):
            found.lost[name] = int(records.get(f"lost {group}".encode(), b"0"))
        stream = stream_of(db, name)
        if stream is None:
            continue
        of = stream.groups.get(group.encode())
        found.unfinished |= {
            number_in(fields[fields.index(b"data") + 1])
            for entry_id, fields in stream.entries.items()
            if of is None or entry_id > of.last or entry_id in of.pending
        }
    return found


def due_and_not_pending(db: Keyspace) -> Iterator[Violation]:
    """What is due is pending."""
    for key, value in db.values.items():
        if key.startswith(b"abe:due:") and isinstance(value, SortedSet):
            name, _, group = key.decode().removeprefix("abe:due:{").partition("}:")
            stream = stream_of(db, name)
            of = stream.groups.get(group.encode()) if stream else None
            pending = {shown(entry_id) for entry_id in of.pending} if of else set[bytes]()
            for member in value:
                if member not in pending:
                    yield Violation("due", "", f"{member.decode()} of {name} is due and not pending")

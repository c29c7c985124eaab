"""Reading a stream without changing anything."""

import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client.optional_commands import is_refused
from abe_redis.events.codec import Fields
from abe_redis.schemas.stats import is_agent, is_person
from abe_redis.streams import hold_times, ids, names, seen
from abe_redis.streams.consumers import is_alive
from abe_redis.streams.info import lease_seconds_in, unheard_in
from abe_redis.streams.page_size import PageSize

type Order = Literal["newest", "oldest"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it stands in a stream."""

    id: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry that a consumer holds and has not acked."""

    id: str
    fields: Fields | None
    """None when it has been trimmed."""
    consumer: str
    idle_seconds: float | None
    """Seconds since its lease began or was renewed; None when it was released."""
    held_seconds: float | None
    """Seconds since its consumer got it; None when nobody holds it."""
    deliveries: int
    due_at: datetime | None
    """The time at which it is due, if it was postponed."""
    reason: str | None
    """Why it was postponed, if that is known."""
    left_by: str | None = None
    """The consumer that had it and has ended in order without giving it back."""
    had_by: str | None = None
    """The consumer that had it and whose lease is over."""
    free_at: datetime | None = None
    """The end of the lease of either, from which another consumer takes it, as far as that is known."""
    is_free: bool = False
    """Whether nobody holds it, and it is not postponed."""
    is_due: bool = False
    """Whether it was postponed until a time that is over; then nobody holds it, either."""

    @property
    def state(self) -> Literal["held", "waiting", "postponed"]:
        """How far its group is with it."""
        if self.due_at is not None:
            return "postponed"
        return "waiting" if self.held_seconds is None else "held"


async def now(redis: Redis) -> float:
    """The server's time in seconds, or this machine's where TIME is refused."""
    try:
        return hold_times.seconds(await redis.time())
    except ResponseError as error:
        if not is_refused(error):
            raise
        return hold_times.seconds(error)


async def kind(redis: Redis, key: str) -> str:
    """The type of a key: `stream`, `none` when there is no key, or another type."""
    answer: Any = await redis.type(key)
    return str(answer.decode())


async def kinds(redis: Redis, keys: Iterable[str]) -> dict[str, str]:
    """The types of keys, as `kind` says them, in their order."""
    asked = list(dict.fromkeys(keys))
    pipeline = redis.pipeline(transaction=False)
    for key in asked:
        pipeline.type(key)
    answers = await pipeline.execute() if asked else []
    return {key: str(answer.decode()) for key, answer in zip(asked, answers, strict=True)}


async def end(redis: Redis, stream: str) -> tuple[str, str | None]:
    """The last id that a stream generated, and the id of its newest entry, if it has one.

    Raises:
        redis.ResponseError: There is no such stream.
    """
    facts: Any = await redis.xinfo_stream(stream)
    newest = facts["last-entry"]
    return facts["last-generated-id"].decode(), newest[0].decode() if newest else None


async def entries(redis: Redis, stream: str, *, after: str | None, count: int, order: Order) -> list[Entry]:
    """Entries of a stream in order.

    Args:
        stream: The stream; without one there are no entries.
        after: Begin after this id (in the chosen order); None: at the first entry.
        count: Most entries.
        order: The end at which to begin.
    """
    bound = f"({after}" if after else None
    rows: Any
    if order == "newest":
        if after == "0-0":  # no entry is before the first
            return []
        rows = await redis.xrevrange(stream, max=bound or "+", min="-", count=count)
    else:
        if after == ids.LAST:
            return []
        rows = await redis.xrange(stream, min=bound or "-", max="+", count=count)
    return [Entry(entry_id.decode(), fields) for entry_id, fields in rows]


async def entry(redis: Redis, stream: str, entry_id: str) -> Entry | None:
    """One entry; None when it is not there."""
    rows: Any = await redis.xrange(stream, min=entry_id, max=entry_id, count=1)
    return Entry(rows[0][0].decode(), rows[0][1]) if rows else None


async def pages(
    redis: Redis,
    stream: str,
    *,
    size: int,
    after: str | None = None,
    order: Order = "oldest",
    most_bytes: int = sys.maxsize,
) -> AsyncIterator[list[Entry]]:
    """Entries behind an id, some at a time; removing them meanwhile does no harm.

    Args:
        redis: The client.
        stream: The stream.
        size: Most entries of a page; it has fewer when these are large.
        after: The id.
        order: Which come first.
        most_bytes: Bytes of all pages after which there are no more.
    """
    pages = PageSize(size, most_bytes=most_bytes)
    while page := await entries(redis, stream, after=after, count=(asked := pages.count), order=order):
        yield page
        pages.note(entry.fields for entry in page)
        if len(page) < asked or pages.is_spent():
            return
        after = page[-1].id


async def wait(redis: Redis, stream: str, *, after: str, count: int, seconds: float) -> list[Entry]:
    """Wait for entries after `after`; the list is empty when none came in time.

    Args:
        after: An id, or `$` for the last existing one.
        count: Most entries.
        seconds: How long.
    """
    reply: Any = await redis.xread({stream: after}, count=count, block=max(1, round(seconds * 1000)))
    return [Entry(entry_id.decode(), fields) for _, rows in reply for entry_id, fields in rows]


async def pending(
    redis: Redis,
    stream: str,
    group: str,
    *,
    after: str | None,
    count: int,
    consumer: str | None,
    until: str = "+",
    lease_seconds: float = 0.0,
) -> list[PendingEntry]:
    """The leased entries of a group, the oldest first.

    Args:
        redis: The client.
        stream: The stream.
        group: The group.
        after: Begin behind this id.
        count: Most entries.
        consumer: Only what is pending under this name.
        until: The last id.
        lease_seconds: How long the lease of a consumer counts that does not say how long it lasts, as whoever
            takes its entry does; at least as long as that of any other. 0: such a lease is over at once.

    Raises:
        redis.ResponseError: NOGROUP, when the group does not exist.
    """
    begin, until = (ids.LAST, "-") if after == ids.LAST else (f"({after}" if after else "-", until)
    rows: Any = await redis.xpending_range(stream, group, begin, until, count, consumer)
    return await _entries_of(redis, stream, group, rows, lease_seconds)


async def pending_of(
    redis: Redis, stream: str, group: str, chosen: Sequence[str], *, lease_seconds: float
) -> dict[str, PendingEntry]:
    """Those of the chosen entries that are pending in a group, by their ids; see `pending`."""
    pipeline = redis.pipeline(transaction=False)
    for one in chosen:
        pipeline.xpending_range(stream, group, one, one, 1)
    rows = [row for rows in await pipeline.execute() for row in rows] if chosen else []
    return {one.id: one for one in await _entries_of(redis, stream, group, rows, lease_seconds)}


async def _entries_of(
    redis: Redis, stream: str, group: str, rows: Sequence[Any], lease_seconds: float
) -> list[PendingEntry]:
    """The entries of rows that XPENDING has answered."""
    pipeline = redis.pipeline(transaction=False)
    for row in rows:
        pipeline.xrange(stream, row["message_id"], row["message_id"])
        pipeline.zscore(names.due(stream, group), row["message_id"])
        pipeline.hget(names.reasons(stream, group), row["message_id"])
    pipeline.hgetall(names.held(stream, group))
    pipeline.hgetall(names.leases(stream, group))
    pipeline.time()
    *found, said, leases, clock = await pipeline.execute(raise_on_error=False)
    entries, due_at, reasons = found[::3], found[1::3], found[2::3]
    if failed := next((one for one in (*entries, *due_at, said, leases) if isinstance(one, Exception)), None):
        raise failed
    look = _Look(
        hold_times.records_from(said), hold_times.seconds(clock), lease_seconds_in(leases), lease_seconds
    )
    return [
        look.entry(row, entry, due, reason)
        for row, entry, due, reason in zip(rows, entries, due_at, reasons, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Look:
    """What is known of a group's consumers while its pending entries are looked at."""

    records: hold_times.Records
    now: float
    leases: Mapping[bytes, float]
    """How long the leases of consumers last, by their own records."""
    lease_seconds: float
    """How long one lasts at least of which that is not known."""

    def entry(self, row: hold_times.Row, entry: Any, due: Any, reason: Any) -> PendingEntry:  # noqa: ANN401
        """One of them, from what Redis answers about it."""
        name, idle = row["consumer"], row["time_since_delivered"] / 1000
        is_given_back = hold_times.is_given_back(row)
        is_leased = due is None and not is_given_back
        is_left = is_leased and hold_times.is_left(row, self.records)
        lease = self.leases.get(name, max([self.lease_seconds, *self.leases.values()]))
        is_over = is_leased and idle >= lease
        holder, counts = name.decode(errors="replace"), row["times_delivered"]
        if is_over and (is_person(holder) or is_agent(holder)):
            counts = max(0, counts - 1)  # no handler has begun it
        has_end = is_over or (is_left and name in self.leases)
        return PendingEntry(
            id=row["message_id"].decode(),
            fields=entry[0][1] if entry else None,
            consumer=holder,
            idle_seconds=None if is_given_back else idle,
            held_seconds=None if is_over else hold_times.seconds_of(row, self.records, self.now),
            deliveries=counts,
            due_at=None if due is None else datetime.fromtimestamp(float(due) / 1000, UTC),
            reason=reason.decode(errors="replace") if due is not None and isinstance(reason, bytes) else None,
            left_by=holder if is_left else None,
            had_by=holder if is_over and not is_left else None,
            free_at=datetime.fromtimestamp(self.now - idle + lease, UTC) if has_end else None,
            is_free=due is None and (is_given_back or is_over),
            is_due=due is not None and float(due) <= self.now * 1000,
        )


async def consumers(redis: Redis, stream: str, group: str, *, lease_seconds: float) -> dict[str, bool]:
    """A group's consumers, without those that stand for nobody, and whether each is alive.

    Args:
        lease_seconds: As for `is_alive`.

    Raises:
        redis.ResponseError: NOGROUP, when the group does not exist.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_consumers(stream, group)
    pipeline.hgetall(names.leases(stream, group))
    pipeline.hgetall(names.held(stream, group))
    rows, leases, said = await pipeline.execute()
    recorded = lease_seconds_in(leases)
    left = hold_times.records_from(said).ended | unheard_in(leases, await now(redis))
    return {
        row["name"].decode(errors="replace"): is_alive(
            row["idle"] / 1000,
            recorded_seconds=recorded.get(row["name"]),
            lease_seconds=lease_seconds,
            has_left=row["name"] in left,
        )
        for row in rows
        if row["name"] not in names.NOBODYS
    }


async def groups(redis: Redis, stream: str) -> list[str]:
    """The names of a stream's groups; none when there is no stream."""
    if await kind(redis, stream) != "stream":
        return []
    return [row["name"].decode(errors="replace") for row in await redis.xinfo_groups(stream)]


async def remembered(redis: Redis, stream: str, event_ids: Sequence[str]) -> str | None:
    """The id of the entry that was published to a stream under one of these event ids, if that is remembered.

    Args:
        stream: The stream.
        event_ids: The event's identity, in each form it may have.
    """
    pipeline = redis.pipeline(transaction=False)
    for event_id in (f"event:{one}" for one in event_ids):
        for bucket in seen.buckets(stream, event_id):
            pipeline.hget(bucket, seen.field(event_id))
        pipeline.get(names.seen(stream, event_id))
    known = [value for value in await pipeline.execute() if value]
    return str(known[0].split()[0].decode()) if known else None


async def given(redis: Redis, stream: str, group: str) -> str | None:
    """The id up to which a group was given a stream's entries; None when there is no such group."""
    rows: Any = await redis.xinfo_groups(stream)
    return next((row["last-delivered-id"].decode() for row in rows if row["name"] == group.encode()), None)

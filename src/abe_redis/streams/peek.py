"""Reading a stream without changing anything."""

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client.optional_commands import is_refused
from abe_redis.events.codec import Fields
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
    free_at: datetime | None = None
    """Then, the end of its lease, from which another consumer takes it, as far as that is known."""


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
    redis: Redis, stream: str, *, size: int, after: str | None = None
) -> AsyncIterator[list[Entry]]:
    """Entries behind an id, the oldest first, some at a time; removing them meanwhile does no harm.

    Args:
        redis: The client.
        stream: The stream.
        size: Most entries of a page; it has fewer when these are large.
        after: The id.
    """
    pages = PageSize(size, most_bytes=sys.maxsize)
    while page := await entries(redis, stream, after=after, count=(asked := pages.count), order="oldest"):
        yield page
        if len(page) < asked:
            return
        after = page[-1].id
        pages.note(entry.fields for entry in page)


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
) -> list[PendingEntry]:
    """The leased entries of a group, the oldest first.

    Raises:
        redis.ResponseError: NOGROUP, when the group does not exist.
    """
    begin, until = (ids.LAST, "-") if after == ids.LAST else (f"({after}" if after else "-", until)
    rows: Any = await redis.xpending_range(stream, group, begin, until, count, consumer)
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
    records, now, lease_of = (
        hold_times.records_from(said),
        hold_times.seconds(clock),
        lease_seconds_in(leases),
    )
    return [
        PendingEntry(
            id=row["message_id"].decode(),
            fields=entry[0][1] if entry else None,
            consumer=row["consumer"].decode(errors="replace"),
            idle_seconds=None if hold_times.is_given_back(row) else row["time_since_delivered"] / 1000,
            held_seconds=lasted,
            deliveries=row["times_delivered"],
            due_at=None if due is None else datetime.fromtimestamp(float(due) / 1000, UTC),
            reason=reason.decode(errors="replace") if due is not None and isinstance(reason, bytes) else None,
            left_by=row["consumer"].decode(errors="replace") if is_left else None,
            free_at=_free_at(row, lease_of.get(row["consumer"]), now) if is_left else None,
        )
        for row, entry, due, reason in zip(rows, entries, due_at, reasons, strict=True)
        for lasted in [hold_times.seconds_of(row, records, now)]
        for is_left in [due is None and hold_times.is_left(row, records)]
    ]


def _free_at(row: hold_times.Row, lease_seconds: float | None, now: float) -> datetime | None:
    """The end of the lease of a pending entry."""
    if lease_seconds is None:
        return None
    return datetime.fromtimestamp(now - row["time_since_delivered"] / 1000 + lease_seconds, UTC)


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


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of an entry in a group."""

    group: str
    given: bool
    """Whether the group was given it."""
    row: PendingEntry | None
    """The entry, without its fields, if it is pending; also if it is only because somebody removed its
    consumer that it is not: then it is postponed, or nobody holds it, and it is delivered again."""


async def standings(redis: Redis, stream: str, entry_id: str) -> list[Standing]:
    """The state of an entry in each group of a stream."""
    rows: Any = await redis.xinfo_groups(stream)
    found = []
    for row in rows:
        group = row["name"].decode(errors="replace")
        pending_there = await pending(
            redis, stream, group, after=ids.before(entry_id), count=1, consumer=None, until=entry_id
        )
        given_it = ids.order(entry_id) <= ids.order(row["last-delivered-id"])
        there = pending_there[0] if pending_there else None
        if given_it and there is None:
            there = await _dropped(redis, stream, group, entry_id)
        found.append(Standing(group, given_it, there))
    return found


_POSTPONED_DELIVERIES = 4096
"""The part of a millisecond that stands for one delivery where an entry is postponed: see `postponed.lua`."""


async def _dropped(redis: Redis, stream: str, group: str, entry_id: str) -> PendingEntry | None:
    """An entry that was postponed or given back, and that somebody dropped with its consumer."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.zscore(names.due(stream, group), entry_id)
    pipeline.hget(names.reasons(stream, group), entry_id)
    pipeline.hget(names.records(stream), f"given {group}")
    pipeline.xinfo_consumers(stream, group)
    due, reason, given_back, consumers = await pipeline.execute(raise_on_error=False)
    if failed := next((one for one in (due, given_back, consumers) if isinstance(one, Exception)), None):
        raise failed
    is_removed = all(row["name"] != names.NOBODY for row in consumers)
    counts = dict(line.split() for line in ((is_removed and given_back) or b"").splitlines())
    if due is None and entry_id.encode() not in counts:
        return None
    return PendingEntry(
        id=entry_id,
        fields=None,
        consumer=names.NOBODY.decode(),
        idle_seconds=None,
        held_seconds=None,
        deliveries=int(counts.get(entry_id.encode(), 0))
        if due is None
        else round(due % 1 * _POSTPONED_DELIVERIES),
        due_at=None if due is None else datetime.fromtimestamp(float(due) / 1000, UTC),
        reason=reason.decode(errors="replace") if due is not None and isinstance(reason, bytes) else None,
    )


async def given(redis: Redis, stream: str, group: str) -> str | None:
    """The id up to which a group was given a stream's entries; None when there is no such group."""
    rows: Any = await redis.xinfo_groups(stream)
    return next((row["last-delivered-id"].decode() for row in rows if row["name"] == group.encode()), None)

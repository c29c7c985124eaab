"""What Redis reports about a stream and its groups; `inspection` interprets it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import hold_times, ids, names
from abe_redis.streams.page_size import PageSize

type Row = dict[str, Any]
"""A reply of XINFO or XPENDING, with Redis's own names."""

_MOST_PENDING = 100
"""Most pending entries read per group, when many groups are read."""
_MANY_PENDING = 1000
"""The same, when only one group is read."""
_MOST_POSTPONED = 10_000
_MOST_BYTES = 4 * 1024 * 1024
"""About how many bytes of entries are read to count them."""
_LEAST_AHEAD_MS = 1000
"""A record may lie so far ahead of the clock before it counts as one from before a step."""
_MOST_BEYOND = 100
"""Most further entries read because consumers have recorded that they hold them."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream at one moment."""

    facts: Row
    """XINFO STREAM."""
    groups: list[Row]
    """XINFO GROUPS."""
    records: dict[bytes, bytes]
    """The records about its groups; see `groups`."""
    memory_bytes: int | None
    """None when this user lacks the permission."""
    dead_letters: int
    now: float
    """The server's time in seconds, or this machine's when this user lacks the permission."""


async def of_stream(redis: Redis, stream: str) -> StreamInfo | None:
    """Read everything about a stream and its groups.

    Returns:
        None when there is no such stream.

    Raises:
        redis.ResponseError: WRONGTYPE, when the key is not a stream.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_stream(stream)
    pipeline.xinfo_groups(stream)
    pipeline.hgetall(names.records(stream))
    pipeline.memory_usage(stream)
    pipeline.xlen(names.dead_letters(stream))
    pipeline.time()
    facts, groups, records, memory, dead_letters, clock = await pipeline.execute(raise_on_error=False)
    if isinstance(facts, ResponseError):
        if "no such key" in str(facts):
            return None
        raise facts
    for answer in (groups, records, dead_letters):
        if isinstance(answer, Exception):
            raise answer
    return StreamInfo(
        facts=facts,
        groups=groups,
        records=records,
        memory_bytes=memory if isinstance(memory, int) else None,
        dead_letters=dead_letters,
        now=hold_times.seconds(clock),
    )


async def lag_of(redis: Redis, stream: str, row: Row, *, most: int) -> int | None:
    """How many entries a group has not been given yet.

    Redis does not know that while entries behind the group's place were removed one by one. Then they are
    counted.

    Args:
        redis: The client.
        stream: The stream.
        row: The group's row of XINFO GROUPS.
        most: Most entries that are counted.

    Returns:
        None when Redis does not know it, and there are more than `most`, or they are too large.
    """
    if row["lag"] is not None:
        return int(row["lag"])
    counted, after, pages = 0, row["last-delivered-id"], PageSize(most + 1, most_bytes=_MOST_BYTES)
    while after != ids.LAST.encode() and not pages.is_spent():
        asked = min(pages.count, most + 1 - counted)
        page: Any = await redis.xrange(stream, b"(" + after, "+", count=asked)
        counted += len(page)
        if len(page) < asked:
            return counted
        if counted > most:
            break
        after = page[-1][0]
        pages.note(fields for _, fields in page)
    return None


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group at one moment."""

    consumers: list[Row]
    """XINFO CONSUMERS, without those that stand for nobody."""
    oldest_pending: bytes | None
    """The id of the oldest pending entry; None without one."""
    oldest_undelivered: bytes | None
    """Its id; None when all was delivered."""
    pending: list[Row]
    """The oldest pending entries, as XPENDING shows them."""
    postponed: set[bytes]
    """Ids of those that wait for their time, so that nobody holds them."""
    records: hold_times.Records
    """Since when consumers hold events, and which of them have ended."""
    lag: int | None
    """How many entries it has not been given yet; None when that is unknown."""
    lease_seconds: dict[bytes, float]
    """How long the leases of consumers last, by their own records."""
    unheard: frozenset[bytes]
    """The consumers that were not heard of since the clock was set back."""


async def of_group(redis: Redis, stream: str, row: Row, *, now: float, with_pending: bool) -> GroupInfo:
    """Read everything about a group.

    Args:
        stream: Its stream.
        row: Its row of XINFO GROUPS.
        now: The server's time in seconds.
        with_pending: Read many pending entries, not only those needed to tell who holds an event for how
        long.

    Raises:
        redis.ResponseError: NOGROUP, when it was deleted.
    """
    name = row["name"]
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_consumers(stream, name)
    pipeline.xpending(stream, name)
    last = row["last-delivered-id"]
    begin, end = (last, "-") if last == ids.LAST.encode() else (b"(" + last, "+")
    pipeline.xrange(stream, begin, end, count=1)
    count = _MANY_PENDING if with_pending else _MOST_PENDING
    pipeline.xpending_range(stream, name, min="-", max="+", count=count)
    text = name.decode(errors="replace")
    pipeline.zrange(names.due(stream, text), 0, _MOST_POSTPONED - 1)
    pipeline.hgetall(names.held(stream, text))
    pipeline.hgetall(names.leases(stream, text))
    consumers, summary, undelivered, pending, postponed, said, leases = await pipeline.execute()
    records = hold_times.records_from(said)
    pending += await _beyond(redis, stream, name, pending, records) if len(pending) == count else []
    return GroupInfo(
        consumers=[one for one in consumers if one["name"] not in names.NOBODYS],
        oldest_pending=summary["min"],
        oldest_undelivered=undelivered[0][0] if undelivered else None,
        pending=pending,
        postponed=set(postponed),
        records=records,
        lag=await lag_of(redis, stream, row, most=count),
        lease_seconds=lease_seconds_in(leases),
        unheard=unheard_in(leases, now),
    )


def lease_seconds_in(leases: Mapping[bytes, bytes]) -> dict[bytes, float]:
    """How long the leases of consumers last, from the hash of their records."""
    return {name: said[0] / 1000 for name, words in leases.items() if (said := _numbers(words))}


def recent_in(leases: Mapping[bytes, bytes], now: float) -> dict[bytes, bytes]:
    """The records of leases that are so young that the consumers may live; `known.lua` has the same rule."""
    found = dict[bytes, bytes]()
    for name, words in leases.items():
        match _numbers(words):
            case [lease_ms, said_ms] if abs(now * 1000 - said_ms) < 2 * max(lease_ms, 1000) + 2000:
                found[name] = words
    return found


def unheard_in(leases: Mapping[bytes, bytes], now: float) -> frozenset[bytes]:
    """The consumers that were last heard of before the server's clock was set back by more than a lease.

    Redis would call them active until the clock has caught up. A living one records its lease anew within a
    tick.
    """
    found = set[bytes]()
    for name, words in leases.items():
        lease_ms, *said_ms = _numbers(words) or [0]
        if said_ms and said_ms[0] - now * 1000 > max(lease_ms, _LEAST_AHEAD_MS):
            found.add(name)
    return frozenset(found)


def floor_in(recorded: bytes) -> tuple[bytes, int, int] | None:
    """The record of a destroyed group; None if somebody else wrote it.

    Returns:
        Its position, how many entries had been added then, and how many of them it had not finished.
    """
    position, _, counts = recorded.partition(b" ")
    match _numbers(counts):
        case [added, unfinished]:
            return position, added, unfinished
    return None


def _numbers(words: bytes) -> list[int]:
    """The numbers of a record; none if it is not of numbers alone, as somebody else may have written it."""
    found = [ids.number(word) for word in words.split()]
    return [one for one in found if one is not None] if None not in found else []


async def _beyond(
    redis: Redis, stream: str, group: bytes, read: list[Row], records: hold_times.Records
) -> list[Row]:
    """The longest-held pending entries that consumers have recorded and that were not read yet."""
    known = {row["message_id"] for row in read}
    others = {
        entry_id: since.at_ms for (_, entry_id), since in records.since.items() if entry_id not in known
    }
    pipeline = redis.pipeline(transaction=False)
    for entry_id in sorted(others, key=others.__getitem__)[:_MOST_BEYOND]:
        pipeline.xpending_range(stream, group, entry_id, entry_id, 1)
    return [row for rows in await pipeline.execute() for row in rows]

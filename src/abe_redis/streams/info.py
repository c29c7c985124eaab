"""What Redis reports about a stream and its groups; `inspection` interprets it."""

import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import names

type Row = dict[str, Any]
"""A reply of XINFO or XPENDING, with Redis's own names."""

_MOST_HELD = 1000


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
        now=time.time() if isinstance(clock, Exception) else clock[0] + clock[1] / 1e6,
    )


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group at one moment."""

    consumers: list[Row]
    """XINFO CONSUMERS."""
    oldest_pending: bytes | None
    """Its id; None when nothing is pending."""
    oldest_undelivered: bytes | None
    """Its id; None when all was delivered."""
    pending: list[bytes]
    """The ids of pending entries, if requested."""


async def of_group(redis: Redis, stream: str, row: Row, *, with_pending: bool) -> GroupInfo:
    """Read everything about a group.

    Args:
        stream: Its stream.
        row: Its row of XINFO GROUPS.
        with_pending: Read pending entries, too; at most a thousand.

    Raises:
        redis.ResponseError: NOGROUP, when it was deleted.
    """
    name = row["name"]
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_consumers(stream, name)
    pipeline.xpending(stream, name)
    pipeline.xrange(stream, min=b"(" + row["last-delivered-id"], count=1)
    if with_pending:
        pipeline.xpending_range(stream, name, min="-", max="+", count=_MOST_HELD)
    consumers, summary, undelivered, *pending = await pipeline.execute()
    return GroupInfo(
        consumers=consumers,
        oldest_pending=summary["min"],
        oldest_undelivered=undelivered[0][0] if undelivered else None,
        pending=[one["message_id"] for rows in pending for one in rows],
    )

"""The health of a stream: numbers, and what they mean."""

import time
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.results import ConsumerStats, GroupStats, Health, StreamStats
from abe_redis.streams import names
from abe_redis.streams.trim import is_over


async def stream_stats(redis: Redis, stream: str, *, lease_seconds: float, maxlen: int) -> StreamStats | None:
    """The state of one stream.

    Returns:
        None when there is no such stream.

    Raises:
        redis.ResponseError: WRONGTYPE, when the key is not a stream.
        redis.RedisError: The server refused it or could not be reached.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_stream(stream)
    pipeline.xinfo_groups(stream)
    pipeline.memory_usage(stream)
    pipeline.xlen(names.dead_letters(stream))
    pipeline.time()
    info, groups, memory, dead, clock = await pipeline.execute(raise_on_error=False)
    if isinstance(info, ResponseError):
        if "no such key" in str(info):
            return None
        raise info
    for answer in (groups, dead):
        if isinstance(answer, Exception):
            raise answer
    # A user without the right to ask the server's clock is told by ours.
    now = time.time() if isinstance(clock, Exception) else clock[0] + clock[1] / 1e6
    stats = StreamStats(
        stream=stream,
        length=info["length"],
        first_at=_published_at(info["first-entry"]),
        last_at=_published_at(info["last-entry"]),
        memory_bytes=memory if isinstance(memory, int) else None,
        dead_letters=dead,
        groups=[await _group(redis, stream, row, now, lease_seconds) for row in groups],
        health="ok",
        advice="",
    )
    stats.health, stats.advice = _judge(stats, maxlen)
    return stats


def _published_at(entry: Any) -> datetime | None:  # noqa: ANN401 - redis-py's pair of id and fields
    return datetime.fromtimestamp(_milliseconds(entry[0]) / 1000, UTC) if entry else None


def _milliseconds(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


async def _group(
    redis: Redis, stream: str, row: dict[str, Any], now: float, lease_seconds: float
) -> GroupStats:
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_consumers(stream, row["name"])
    pipeline.xpending(stream, row["name"])
    consumers, summary = await pipeline.execute()
    oldest = summary["min"]
    return GroupStats(
        name=row["name"].decode(errors="replace"),
        pending=row["pending"],
        lag=row["lag"],
        oldest_pending_seconds=round(max(0.0, now - _milliseconds(oldest) / 1000), 3) if oldest else None,
        last_delivered_id=row["last-delivered-id"].decode(),
        consumers=[
            ConsumerStats(
                name=one["name"].decode(errors="replace"),
                pending=one["pending"],
                idle_seconds=one["idle"] / 1000,
                alive=one["idle"] / 1000 < lease_seconds,
            )
            for one in consumers
        ],
    )


BACKLOG_SECONDS = 60
"""An event that waits longer than this, with consumers alive, makes a backlog."""


def _judge(stats: StreamStats, maxlen: int) -> tuple[Health, str]:
    """What is wrong, since when, and what to do; the worst thing first."""
    health: Health = "ok"
    said: list[str] = []
    if stats.length and not stats.groups:
        health = "unread"
        said.append(
            f"It has {stats.length} {'event' if stats.length == 1 else 'events'} and no group: start a "
            "consumer, or lease some by reading with a group."
        )
    waiting = [group for group in stats.groups if group.pending or group.lag]
    stalled = [group for group in waiting if not any(consumer.alive for consumer in group.consumers)]
    behind = [
        group
        for group in waiting
        if group not in stalled
        and (group.lag or 0) > 0
        and (group.oldest_pending_seconds or 0) > BACKLOG_SECONDS
    ]
    if stalled:
        health = "stalled"
        said += [f"{_waiting(group)} and no consumer is alive: start one." for group in stalled]
    elif behind:
        health = "backlog"
        said += [f"{_waiting(group)}: add consumers or make the handler faster." for group in behind]
    elif waiting:
        health = "working"
        said += [f"{_waiting(group)}." for group in waiting]
    if stats.dead_letters:
        health = "dead_letters" if health == "ok" else health
        said.append(f"{stats.dead_letters} dead letters: read them in {names.dead_letters(stats.stream)!r}.")
    if is_over(stats.length, maxlen) and waiting:
        said.append(f"The backlog keeps it above its bound of {maxlen} entries.")
    return health, " ".join(said) or "Nothing is waiting."


def _waiting(group: GroupStats) -> str:
    lag = "an unknown number of" if group.lag is None else str(group.lag)
    age = f" (the oldest published {group.oldest_pending_seconds:.0f} s ago)" if group.pending else ""
    return f"Group {group.name!r} has {group.pending} pending{age} and {lag} not delivered yet"

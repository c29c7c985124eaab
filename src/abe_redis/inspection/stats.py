"""A stream in numbers; `health` says what they mean."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.inspection.health import judge
from abe_redis.schemas import Age, ConsumerStats, GroupStats, StreamStats
from abe_redis.settings import Settings
from abe_redis.streams import ids, names

_AGES: tuple[tuple[Age, float], ...] = (
    ("under_10s", 10),
    ("under_1m", 60),
    ("under_10m", 600),
    ("under_1h", 3600),
    ("older", float("inf")),
)
_MOST_AGES = 1000


async def stream_stats(
    redis: Redis, stream: str, settings: Settings, *, ages: bool = False
) -> StreamStats | None:
    """The state of one stream.

    Args:
        redis: A client.
        stream: Its name.
        settings: The lease and the bounds by which its health is judged.
        ages: Whether to look at each pending entry's age, too.

    Returns:
        None when there is no such stream.

    Raises:
        redis.ResponseError: WRONGTYPE, when the key is not a stream.
        redis.RedisError: The server refused it or could not be reached.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_stream(stream)
    pipeline.xinfo_groups(stream)
    pipeline.hgetall(names.records(stream))
    pipeline.memory_usage(stream)
    pipeline.xlen(names.dead_letters(stream))
    pipeline.time()
    info, groups, records, memory, dead, clock = await pipeline.execute(raise_on_error=False)
    if isinstance(info, ResponseError):
        if "no such key" in str(info):
            return None
        raise info
    for answer in (groups, records, dead):
        if isinstance(answer, Exception):
            raise answer
    # A user without the right to ask the server's clock is told by ours.
    now = time.time() if isinstance(clock, Exception) else clock[0] + clock[1] / 1e6
    look = _Look(redis, stream, info, records, now, settings.redis_stream_lease_seconds, ages)
    stats = StreamStats(
        stream=stream,
        length=info["length"],
        added=info["entries-added"],
        first_at=_published_at(info["first-entry"]),
        last_at=_published_at(info["last-entry"]),
        memory_bytes=memory if isinstance(memory, int) else None,
        dead_letters=dead,
        groups=[await look.at(row) for row in groups],
        health="ok",
        advice="",
    )
    stats.health, stats.advice = judge(stats, settings)
    return stats


def _published_at(entry: Any) -> datetime | None:  # noqa: ANN401 - redis-py's pair of id and fields
    return ids.moment(entry[0]) if entry else None


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a stream's groups."""

    redis: Redis
    stream: str
    info: dict[str, Any]
    records: dict[bytes, bytes]
    now: float
    """The server's time, in seconds."""
    lease_seconds: float
    ages: bool

    async def at(self, row: dict[str, Any]) -> GroupStats:
        """One group, from its row of XINFO GROUPS."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.xinfo_consumers(self.stream, row["name"])
        pipeline.xpending(self.stream, row["name"])
        pipeline.xrange(self.stream, min=b"(" + row["last-delivered-id"], count=1)
        if self.ages:
            pipeline.xpending_range(self.stream, row["name"], min="-", max="+", count=_MOST_AGES)
        consumers, summary, undelivered, *held = await pipeline.execute()
        unread, lost = self._unread(row)
        unused = [one["idle"] / 1000 for one in consumers]
        if used := self._recorded("used", row):
            unused.append(max(0.0, self.now - used))
        return GroupStats(
            name=row["name"].decode(errors="replace"),
            pending=row["pending"],
            lag=unread,
            oldest_pending_seconds=self._age(summary["min"]) if summary["min"] else None,
            oldest_undelivered_seconds=self._age(undelivered[0][0]) if undelivered else None,
            pending_by_age=self._by_age(held[0]) if held and held[0] else {},
            last_delivered_id=row["last-delivered-id"].decode(),
            unused_seconds=round(min(unused), 3) if unused else None,
            paused=b"paused " + row["name"] in self.records,
            lost=self._recorded("lost", row) + lost,
            consumers=[
                ConsumerStats(
                    name=one["name"].decode(errors="replace"),
                    pending=one["pending"],
                    idle_seconds=one["idle"] / 1000,
                    alive=one["idle"] / 1000 < self.lease_seconds,
                )
                for one in consumers
            ],
        )

    def _age(self, entry_id: bytes) -> float:
        return round(max(0.0, self.now - ids.order(entry_id)[0] / 1000), 3)

    def _by_age(self, held: list[dict[str, Any]]) -> dict[Age, int]:
        found = [self._age(one["message_id"]) for one in held]
        bounds = [0.0, *(bound for _, bound in _AGES)]
        counted = {
            name: sum(low <= age < bound for age in found)
            for low, (name, bound) in zip(bounds, _AGES, strict=False)
        }
        return {name: count for name, count in counted.items() if count}

    def _recorded(self, what: str, row: dict[str, Any]) -> int:
        return ids.number(self.records.get(what.encode() + b" " + row["name"])) or 0

    def _unread(self, row: dict[str, Any]) -> tuple[int | None, int]:
        """What is yet to be given out, and what was removed before it was and is not recorded yet.

        Redis counts both as lag: see `groups`.
        """
        first = self.info["first-entry"]
        if first and ids.order(first[0]) <= ids.order(row["last-delivered-id"]):
            return row["lag"], 0
        length, read = self.info["length"], row["entries-read"]
        return length, 0 if read is None else max(0, self.info["entries-added"] - length - read)

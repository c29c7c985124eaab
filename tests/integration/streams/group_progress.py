"""A group, entries, and what was removed before the group had finished it."""

from typing import Any

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.trim import Trimmed, trim

DAY = 86_400


async def add(redis: Redis, stream: str, *ids: str) -> None:
    for entry_id in ids:
        await redis.xadd(stream, {"data": "x"}, id=entry_id)


async def group(redis: Redis, stream: str) -> dict[str, Any]:
    found: Any = await redis.xinfo_groups(stream)
    (one,) = found
    return dict(one)


def removed(count: int, **given_up: int) -> Trimmed:
    return Trimmed(removed=count, blocked=False, given_up=given_up)


async def seen_unused(redis: Redis, stream: str) -> None:
    """Let the groups of a stream that trimming sees unused be seen so for an hour."""
    records: Any = await redis.hgetall(names.records(stream))
    for field, noted in records.items():
        if field.startswith(b"unused "):
            *seen, _ = noted.split()
            await redis.hset(names.records(stream), field, b" ".join((*seen, b"3600000")))


async def trim_in_an_hour(redis: Redis, stream: str, maxlen: int, *, idle_days: float) -> list[Trimmed]:
    """Trim a stream that was looked at an hour before."""
    await trim(redis, [stream], maxlen, idle_days=idle_days)
    await seen_unused(redis, stream)
    return await trim(redis, [stream], maxlen, idle_days=idle_days)

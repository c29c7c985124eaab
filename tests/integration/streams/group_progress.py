"""A group, entries, and what was removed before the group had finished it."""

from typing import Any

from redis.asyncio import Redis

from abe_redis.streams.trim import Trimmed

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

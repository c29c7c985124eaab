"""The consumers of a group: removing dead ones."""

from collections.abc import Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Script

_FORGET = Script.load("forget_gone")


async def forget_gone(redis: Redis, group: str, streams: Sequence[str], *, idle_seconds: float) -> int:
    """Remove consumers that hold nothing and have sent no command for a time.

    Returns:
        The number of removed consumers.
    """

    async def forget(some: Sequence[str]) -> int:
        return int(await _FORGET(redis, names.with_records(some), [group, round(idle_seconds * 1000)]))

    return sum(await slots.each(slots.by_slot(redis, streams), forget))

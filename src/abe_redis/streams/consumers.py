"""Removes consumers that are gone from a group, and the records of their leases."""

from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

GONE_LEASES = 10
"""A silent consumer that holds nothing is removed after this many of its leases."""

_FORGET = Script.load("forget_consumers")
_WITHDRAW = Script.load("withdraw")


async def forget_gone(redis: Redis, group: str, streams: Sequence[str], *, idle_seconds: float) -> int:
    """Remove consumers that hold nothing and have asked for nothing for `GONE_LEASES` of their leases.

    Args:
        redis: The client.
        group: The group.
        streams: Where to look.
        idle_seconds: The time instead, for a consumer without a recorded lease.

    Returns:
        The number of removed consumers.
    """
    arguments: list[Argument] = [group, round(idle_seconds * 1000), GONE_LEASES]

    async def forget(some: Sequence[str]) -> int:
        keys = [
            key
            for one in some
            for key in (one, names.records(one), names.leases(one, group), names.held(one, group))
        ]
        return int(await _FORGET(redis, keys, arguments))

    return sum(await slots.in_steps(redis, streams, forget))


async def withdraw(redis: Redis, group: str, consumer: str, streams: Iterable[str]) -> None:
    """Delete what a consumer that ends has recorded about its leases and the events it holds.

    Where it has postponed events, the record of its leases stays: else it seems to be another program's.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """

    async def forget(some: Sequence[str]) -> None:
        keys = [key for one in some for key in (one, names.leases(one, group), names.held(one, group))]
        await _WITHDRAW(redis, keys, [group, consumer])

    await slots.in_steps(redis, list(streams), forget, most=slots.MANY_STREAMS)

"""Tells whether consumers are alive; removes those that are gone, and the records of their leases."""

from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.streams import hold_times, names, slots
from abe_redis.streams.info import lease_seconds_in, recent_in
from abe_redis.streams.scripts import Argument, Script

GONE_LEASES = 10
"""A silent consumer that holds nothing is removed after this many of its leases."""

LEAST_ALIVE_SECONDS = 2.4
"""A consumer of a shorter lease counts as alive for so long: it gives no more than a sign per tick."""

_SIGN_SECONDS = 15.0
"""Longest time between two signs of life, also of a consumer with a long lease."""

_NOTE_ALIVE = Script.load("note_alive")
_FORGET = Script.load("forget_consumers")
_WITHDRAW = Script.load("withdraw")


async def note_alive(
    redis: Redis, group: str, consumer: str, streams: Sequence[str], *, lease_seconds: float
) -> None:
    """Give a sign of life of a consumer, which lasts for its lease.

    Redis before 7.2 does not notice a consumer that only waits.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000)]

    async def note(some: Sequence[str]) -> None:
        keys = [key for one in some for key in (one, names.leases(one, group), names.held(one, group))]
        await _NOTE_ALIVE(redis, keys, arguments)

    await slots.in_steps(redis, streams, note, most=slots.MANY_STREAMS)


def sign_seconds(lease_seconds: float) -> float:
    """Time between two signs of life of a consumer that waits."""
    return min(lease_seconds / 2, _SIGN_SECONDS)


def is_alive(
    idle_seconds: float, *, recorded_seconds: float | None, lease_seconds: float, has_left: bool
) -> bool:
    """Whether a consumer is alive, as far as Redis knows.

    Args:
        idle_seconds: Time since its last command or sign of life.
        recorded_seconds: How long its leases last, if it has recorded that.
        lease_seconds: The time instead, for another program's consumer.
        has_left: Whether it has ended in order.
    """
    if recorded_seconds is not None:
        lease_seconds = max(recorded_seconds, LEAST_ALIVE_SECONDS)
    return not has_left and idle_seconds < lease_seconds


async def alive_in(redis: Redis, group: str, stream: str, *, lease_seconds: float) -> set[str]:
    """The names of the consumers of a group that are alive in a stream.

    Args:
        redis: The client.
        group: The group.
        stream: The stream.
        lease_seconds: The lease of a consumer that has not recorded its own.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_consumers(stream, group)
    pipeline.hgetall(names.leases(stream, group))
    pipeline.hgetall(names.held(stream, group))
    rows, leases, said = await pipeline.execute()
    recorded, ended = lease_seconds_in(leases), hold_times.records_from(said).ended
    return {
        row["name"].decode(errors="replace")
        for row in rows
        if row["name"] not in names.NOBODYS
        and is_alive(
            row["idle"] / 1000,
            recorded_seconds=recorded.get(row["name"]),
            lease_seconds=lease_seconds,
            has_left=row["name"] in ended,
        )
    }


async def removed_lately(redis: Redis, group: str, stream: str) -> dict[str, float]:
    """The consumers that somebody removed, perhaps with their group, and whose workers may live.

    Their workers make them again with their next sign of life, and the group, too.

    Returns:
        For each, how many seconds its leases last.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xinfo_consumers(stream, group)
    pipeline.hgetall(names.leases(stream, group))
    pipeline.time()
    rows, leases, clock = await pipeline.execute(raise_on_error=False)
    if isinstance(leases, Exception):
        raise leases
    if isinstance(rows, Exception):
        if not failures.stream_is_gone(rows):
            raise rows
        rows = []
    there, now = {row["name"] for row in rows}, hold_times.seconds(clock)
    seconds = lease_seconds_in(recent_in(leases, now))
    return {name.decode(errors="replace"): lease for name, lease in seconds.items() if name not in there}


async def ended_in(redis: Redis, group: str, stream: str) -> set[str]:
    """The names of the consumers of a group that have ended in order and may have left something pending.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    said: Any = await redis.hgetall(names.held(stream, group))
    return {name.decode(errors="replace") for name in hold_times.records_from(said).ended}


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

    From then on it does not count as alive.
    Where it has postponed events, the record of its leases stays: else it seems to be another program's.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """

    async def forget(some: Sequence[str]) -> None:
        keys = [key for one in some for key in (one, names.leases(one, group), names.held(one, group))]
        await _WITHDRAW(redis, keys, [group, consumer])

    await slots.in_steps(redis, list(streams), forget, most=slots.MANY_STREAMS)

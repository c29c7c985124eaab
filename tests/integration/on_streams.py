"""Streams and groups as they may be found, for tests of the functions on them.

The names share a hash tag: in a cluster, one call is one script for all of them.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from abe_redis.streams import lease, names
from abe_redis.streams.reclaim import reclaim

A, B, C = "{t}a", "{t}b", "{t}c"
LONG_MS = 100_000


def always() -> bool:
    """As `renewal.never`: tells that a lease certainly lasts."""
    return True


async def fill(redis: Redis, stream: str, count: int, *, group: str = "g") -> list[str]:
    """Entries of a stream, which the group has yet to be given."""
    if not await redis.exists(stream):
        await redis.xgroup_create(stream, group, "0", mkstream=True)
    added: list[Any] = [await redis.xadd(stream, {"data": f"{stream} {number}"}) for number in range(count)]
    return [entry_id.decode() for entry_id in added]


async def entries(redis: Redis, stream: str) -> list[tuple[str, dict[bytes, bytes]]]:
    """What is in a stream."""
    found: Any = await redis.xrange(stream)
    return [(entry_id.decode(), fields) for entry_id, fields in found]


async def consumers(redis: Redis, stream: str) -> set[str]:
    """Who is in the group."""
    found: Any = await redis.xinfo_consumers(stream, "g")
    return {row["name"].decode() for row in found}


async def now_ms(redis: Redis) -> float:
    """The server's time."""
    seconds, micros = await redis.time()
    return float(seconds * 1000 + micros / 1000)


async def hold(redis: Redis, stream: str, count: int, *, by: str = "holder") -> list[str]:
    """Entries that a consumer has, delivered once."""
    ids = await fill(redis, stream, count)
    leased = await lease.take_new(redis, "g", by, [stream], count=count, block_ms=None)
    assert [entry.id for entry in leased] == ids
    return ids


async def let_lapse(
    redis: Redis, stream: str, ids: Sequence[str], *, deliveries: int, by: str = "holder"
) -> None:
    """As if they had been with their consumer for long, delivered so often."""
    for entry_id in ids:
        await redis.xclaim(stream, "g", by, 0, [entry_id], idle=LONG_MS, retrycount=deliveries, justid=True)


async def rows(redis: Redis, stream: str) -> dict[str, tuple[str, int, int]]:
    """What is pending: consumer, deliveries, milliseconds of idleness."""
    found: Any = await redis.xpending_range(stream, "g", "-", "+", 1000)
    return {
        row["message_id"].decode(): (
            row["consumer"].decode(),
            row["times_delivered"],
            row["time_since_delivered"],
        )
        for row in found
    }


async def recorded(redis: Redis, stream: str, what: str) -> Any:
    """A field of the group's records."""
    return await redis.hget(names.records(stream), f"{what} g")


def briefly(leased: Sequence[lease.Leased]) -> list[tuple[str, str, int]]:
    """Stream, id and deliveries of each."""
    return [(entry.stream, entry.id, entry.deliveries) for entry in leased]


async def abandoned(
    redis: Redis, *streams: str, count: int = 1, fresh: int | None = None, seconds: float = 50
) -> tuple[list[tuple[str, str, int]], dict[str, int]]:
    """What a consumer reclaims, and how many entries of each stream are lost."""
    leased, lost = await reclaim(
        redis, "g", "me", list(streams), lease_seconds=seconds, count=count, fresh=fresh
    )
    return briefly(leased), dict(lost)


async def group(redis: Redis, name: str = "g", stream: str = A) -> dict[str, Any]:
    """What Redis says about a group."""
    found: Any = await redis.xinfo_groups(stream)
    (one,) = [row for row in found if row["name"].decode() == name]
    return dict(one)


async def taken(redis: Redis, count: int = 1000, *, stream: str = A) -> list[str]:
    """What the group is given now."""
    leased = await lease.take_new(redis, "g", "me", [stream], count=count, block_ms=None)
    return [entry.id for entry in leased]

"""Consumers that join, take and are removed, and what others take over from them."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import lease, names, owners
from abe_redis.streams.groups import Progress, ensure_group, record_progress
from abe_redis.streams.owners import Owner
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, let_lapse, recorded, rows

LEASE_SECONDS = 60.0
NOBODY = names.NOBODY.decode()
OWNER = Owner("g", "owner", "the owner's token", LEASE_SECONDS)


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def join(redis: Redis, name: str) -> None:
    """A consumer begins, as each does: it sees to its group, and reclaims before it reads."""
    await ensure_group(redis, [A], "g")
    await reclaim(redis, "g", name, [A], lease_seconds=LEASE_SECONDS, count=10, begun=False)


async def take(redis: Redis, name: str, count: int) -> list[str]:
    leased = await lease.take_new(redis, "g", name, [A], count=count, block_ms=None)
    return [entry.id for entry in leased]


async def record(redis: Redis, *, is_full: bool = False) -> Progress:
    """What any live worker does each second; here the second is over at once."""
    await redis.config_set("maxmemory", 0)
    at = await recorded(redis, A, "known")
    if at is not None:
        words = at.split(b"\n", 1)[0].split()
        aged = b" ".join([*words[:3], b"1"]) + b"\n" + at.split(b"\n", 1)[1]
        await redis.hset(names.records(A), "known g", aged)
    await redis.config_set("maxmemory", int(is_full))
    (progress,) = await record_progress(redis, [A], "g")
    return progress


async def taken_over(redis: Redis, how: str) -> list[tuple[str, int]]:
    """Another consumer takes over what it can: ids and deliveries."""
    if how == "owner":
        await owners.own(redis, OWNER, [A])
        loaded = await owners.load(redis, OWNER, A, everybody=True)
        assert loaded is not None
        return [(entry.id, entry.deliveries) for entry, _ in loaded.entries]
    await reclaim(redis, "g", "other", [A], lease_seconds=LEASE_SECONDS, count=10, begun=False)
    for entry_id, (holder, deliveries, _) in (await rows(redis, A)).items():
        if holder == NOBODY:  # its lease is over
            await let_lapse(redis, A, [entry_id], deliveries=deliveries, by=holder)
    leased, _ = await reclaim(redis, "g", "other", [A], lease_seconds=LEASE_SECONDS, count=10, begun=False)
    return [(entry.id, entry.deliveries) for entry in leased]


async def remove(redis: Redis, *consumers: str) -> int:
    return sum([await redis.xgroup_delconsumer(A, "g", name) for name in consumers])


HOW = pytest.mark.parametrize("how", ["reclaim", "owner"])

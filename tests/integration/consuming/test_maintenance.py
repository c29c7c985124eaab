"""The regular work on a group's streams, which one of its consumers does for all."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Settings
from abe_redis.consuming import maintenance
from abe_redis.consuming.maintenance import Maintenance
from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.streams import acks, names
from abe_redis.streams.groups import record_progress
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, B, hold, recorded

pytestmark = pytest.mark.one_server


async def looks(redis: Redis) -> int:
    """How many streams were looked at closely."""
    stats: Any = await redis.info("commandstats")
    return int(stats.get("cmdstat_xinfo|stream", {"calls": 0})["calls"])


async def calls_of(redis: Redis, *names: str) -> list[int]:
    """How often scripts have sent these commands."""
    stats: Any = await redis.info("commandstats")
    return [int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in names]


async def test_one_consumer_of_a_group_records_a_stream_for_all(
    commands: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_RECENT_SECONDS", 3600)
    settings = Settings()
    consumers = [Maintenance(settings, "g", Tolerance(settings, "g")) for _ in range(4)]
    held = {stream: await hold(commands, stream, 3, by="me") for stream in (A, B)}
    for stream, ids in held.items():
        await acks.ack(commands, "g", "me", [(stream, ids[0])])
    before = await looks(commands)
    for one in consumers:
        await one.tick(commands, [A, B], active={A, B}, held=set())
    assert await looks(commands) - before == 2
    assert (await recorded(commands, A, "floor")).endswith(b" 3 2")
    # Who left it to another looks again, also if it finishes nothing more: something may be unfinished.
    monkeypatch.setattr(maintenance, "_RECENT_SECONDS", 0)
    await acks.ack(commands, "g", "me", [(A, held[A][1])])
    await consumers[-1].tick(commands, [A, B], active=set(), held=set())
    assert (await recorded(commands, A, "floor")).endswith(b" 3 1")
    assert await looks(commands) - before == 4


async def test_pending_entries_are_looked_at_only_as_often_as_there_are_any(commands: Redis) -> None:
    (first, second) = await hold(commands, A, 2, by="me")
    await hold(commands, B, 2, by="me")

    async def looks_at_pending(stream: str) -> int:
        await commands.hdel(names.records(stream), "known g")
        before = await calls_of(commands, "xpending")
        await record_progress(commands, [stream], "g")
        return (await calls_of(commands, "xpending"))[0] - before[0]

    assert await looks_at_pending(B) == 2, "the oldest, and the list"
    await acks.ack(commands, "g", "me", [(A, first), (A, second)])
    assert await looks_at_pending(A) == 0


async def test_a_look_for_abandoned_entries_is_short(commands: Redis) -> None:
    await hold(commands, A, 1, by="me")
    await record_progress(commands, [A], "g")

    async def look() -> list[int]:
        before = await calls_of(commands, "hget", "hmget", "xpending")
        await reclaim(commands, "g", "me", [A], lease_seconds=60, count=1, recent_seconds=3600)
        after = await calls_of(commands, "hget", "hmget", "xpending")
        return [now - then for then, now in zip(before, after, strict=True)]

    await look()
    assert await look() == [1, 1, 2], "its own lease, what was given back and listed, and what is pending"

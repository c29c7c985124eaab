"""The regular work on a group's streams, which one of its consumers does for all."""

import asyncio
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


async def all_calls(redis: Redis) -> int:
    """How many commands the server has carried out, those in scripts among them."""
    stats: Any = await redis.info("stats")
    return int(stats["total_commands_processed"])


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


async def test_who_records_a_stream_trims_what_others_finished(
    commands: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_RECENT_SECONDS", 3600)
    settings = Settings(redis_stream_maxlen=100)
    recorder, other, last = (Maintenance(settings, "g", Tolerance(settings, "g")) for _ in range(3))
    ids = await hold(commands, A, 500, by="me")

    async def finish(count: int) -> None:
        await acks.ack(commands, "g", "me", [(A, entry_id) for entry_id in ids[:count]])
        del ids[:count]

    await finish(100)
    await recorder.tick(commands, [A], active={A}, held=set())
    assert await commands.xlen(A) == 400
    await finish(100)
    await other.tick(commands, [A], active={A}, held=set())
    assert await commands.xlen(A) == 400, "who is left out leaves that to the recorder"
    await commands.hdel(names.records(A), "used g")
    await recorder.tick(commands, [A], active=set(), held=set())
    assert await commands.xlen(A) == 300
    # Who was left out looks again, in case the recorder died: also if it finishes nothing more.
    await finish(len(ids))
    await other.tick(commands, [A], active=set(), held=set())
    await last.tick(commands, [A], active={A}, held=set())
    await commands.hdel(names.records(A), "used g")
    await other.tick(commands, [A], active=set(), held=set())
    assert await commands.xlen(A) == 100
    await commands.hdel(names.records(A), "used g")
    before = await calls_of(commands, "xtrim")
    await last.tick(commands, [A], active=set(), held=set())
    assert await calls_of(commands, "xtrim") == before


async def test_a_record_takes_few_commands(commands: Redis) -> None:
    ids = await hold(commands, A, 3, by="me")
    await record_progress(commands, [A], "g")

    async def record(recent_seconds: float) -> int:
        before = await all_calls(commands)
        await record_progress(commands, [A], "g", recent_seconds=recent_seconds)
        return await all_calls(commands) - before - 1  # what counts is one more

    assert await record(3600) == 3, "by another consumer: the script, the time, and the records"
    await asyncio.sleep(0.5)  # since the list
    await acks.ack(commands, "g", "me", [(A, ids[0])])
    assert await record(0) <= 14
    for entry_id in ids[1:]:
        await acks.ack(commands, "g", "me", [(A, entry_id)])
    await asyncio.sleep(0.5)
    assert await record(0) <= 13


async def test_pending_entries_are_looked_at_only_as_often_as_there_are_any(commands: Redis) -> None:
    (first, second) = await hold(commands, A, 2, by="me")
    await hold(commands, B, 2, by="me")

    async def looks_at_pending(stream: str) -> int:
        await commands.hdel(names.records(stream), "known g")
        before = await calls_of(commands, "xpending")
        await record_progress(commands, [stream], "g")
        return (await calls_of(commands, "xpending"))[0] - before[0]

    assert await looks_at_pending(B) == 1, "the list, which begins with the oldest"
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

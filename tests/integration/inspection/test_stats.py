"""A stream and its groups in numbers."""

from datetime import UTC, datetime

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Settings
from abe_redis.inspection.stats import stream_stats
from abe_redis.schemas import GroupStats, StreamStats
from abe_redis.streams import manage, names
from tests.integration.on_streams import A, fill, now_ms, taken


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def stats(redis: Redis, *, ages: bool = False, lease_seconds: float = 60) -> StreamStats:
    settings = Settings(redis_stream_lease_seconds=lease_seconds)
    found = await (stream_stats(redis, A, settings, ages=True) if ages else stream_stats(redis, A, settings))
    assert found is not None
    return found


async def the_group(redis: Redis, *, ages: bool = False, lease_seconds: float = 60) -> GroupStats:
    (found,) = (await stats(redis, ages=ages, lease_seconds=lease_seconds)).groups
    return found


async def test_a_stream_in_numbers(commands: Redis) -> None:
    ids = ["1767225600000-0", "1767225601500-0", "1767225602000-0"]
    for entry_id in ids:
        await commands.xadd(A, {"data": "x"}, id=entry_id)
    await commands.xadd(names.dead_letters(A), {"data": "x"})
    await commands.xtrim(A, maxlen=2, approximate=False)
    found = await stats(commands)
    assert (found.stream, found.length, found.added, found.dead_letters) == (A, 2, 3, 1)
    assert found.first_at == datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert found.last_at == datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert found.memory_bytes is not None
    assert found.memory_bytes > 0
    assert found.health == "unread"
    await commands.xtrim(A, maxlen=0, approximate=False)
    found = await stats(commands)
    assert (found.length, found.first_at, found.last_at) == (0, None, None)


async def test_how_old_is_what_a_group_has_to_do(commands: Redis) -> None:
    now = int(await now_ms(commands))
    ages = (7_000, 5_400, 900, 800, 90, 15)
    for age in ages:
        await commands.xadd(A, {"data": "x"}, id=f"{now - age * 1000}-1")
    for sequence in range(2):
        await commands.xadd(A, {"data": "x"}, id=f"{now + 100_000}-{sequence}")
    await commands.xgroup_create(A, "g", "0")
    found = await the_group(commands, ages=True)
    assert (found.name, found.pending, found.lag, found.lost, found.pending_by_age) == ("g", 0, 8, 0, {})
    assert (found.oldest_pending_seconds, found.last_delivered_id) == (None, "0-0")
    oldest = found.oldest_undelivered_seconds
    assert oldest is not None
    assert 7_000 <= oldest < 7_060
    taken_ids = await taken(commands, 7)
    found = await the_group(commands, ages=True)
    assert found.pending_by_age == {"under_10s": 1, "under_1m": 1, "under_10m": 1, "under_1h": 2, "older": 2}
    assert (found.pending, found.lag, found.last_delivered_id) == (7, 1, taken_ids[-1])
    assert found.oldest_undelivered_seconds == 0
    assert found.oldest_pending_seconds is not None
    assert 7_000 <= found.oldest_pending_seconds < 7_060
    await taken(commands)
    found = await the_group(commands)
    assert (found.pending, found.lag, found.oldest_undelivered_seconds) == (8, 0, None)
    assert found.pending_by_age == {}


async def test_stats_say_who_reads_a_group_and_since_when_nobody_does(commands: Redis) -> None:
    await fill(commands, A, 2)
    assert (await the_group(commands)).unused_seconds is None
    now = int(await now_ms(commands)) // 1000
    for used in (now - 500, now + 500):
        await commands.hset(names.records(A), "used g", str(used))
        unused = (await the_group(commands)).unused_seconds
        assert unused is not None
        assert (500 <= unused < 560) if used < now else unused == 0
    await commands.hset(names.records(A), "used g", str(now - 500))
    await taken(commands, 1)
    await commands.xgroup_createconsumer(A, "g", "other")
    await anyio.sleep(0.5)
    found = await the_group(commands)
    assert found.unused_seconds is not None
    assert 0.5 <= found.unused_seconds < 60
    one, other = sorted(found.consumers, key=lambda consumer: consumer.name)
    assert [(of.name, of.pending, of.alive) for of in (one, other)] == [("me", 1, True), ("other", 0, True)]
    assert 0.5 <= one.idle_seconds < 60
    found = await the_group(commands, lease_seconds=0.5)
    assert [consumer.alive for consumer in found.consumers] == [False, False]


async def test_a_pause_and_losses_are_in_the_numbers(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    await taken(commands, 1)
    await commands.hset(names.records(A), "lost g", "4")
    found = await the_group(commands)
    assert (found.lag, found.lost, found.paused) == (5, 4, False)
    await manage.pause(commands, A, "g", paused=True)
    await commands.xtrim(A, minid=ids[3], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost, found.paused) == (3, 6, True)
    await commands.xtrim(A, maxlen=0, approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (0, 9)


async def test_a_group_that_has_read_the_first_entry_has_lost_nothing(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    await taken(commands, 3)
    await commands.xtrim(A, minid=ids[2], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (3, 0)
    await commands.xtrim(A, minid=ids[3], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (3, 0)


async def test_of_a_group_whose_place_is_not_known_no_loss_is_guessed(commands: Redis) -> None:
    ids = await fill(commands, A, 6, group="other")
    await commands.xgroup_create(A, "g", ids[2])
    await commands.xgroup_destroy(A, "other")
    await commands.xtrim(A, minid=ids[4], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (2, 0)


async def test_a_command_of_a_person_does_not_make_their_old_lease_a_hanging_worker(commands: Redis) -> None:
    (entry_id,) = await fill(commands, A, 1)
    person = "cli-me@here"
    await commands.xreadgroup("g", person, {A: ">"})
    await commands.xclaim(A, "g", person, 0, [entry_id], idle=360_000)
    await commands.xreadgroup("g", person, {A: ">"})  # a sign of life, as any command of theirs gives
    (one,) = (await the_group(commands)).consumers
    assert (one.alive, one.holds) == (True, entry_id)
    advice = (await stats(commands)).advice
    assert "somebody leased that at the command line, and the lease is over" in advice
    assert "handler" not in advice.replace("MODULE:HANDLER", "")
    assert "somebody" not in (await stats(commands, lease_seconds=3600)).advice, "it goes on"


async def test_what_is_postponed_is_said_to_be_held_by_nobody(commands: Redis) -> None:
    (entry_id,) = await fill(commands, A, 1)
    await commands.xreadgroup("g", "mcp-agent", {A: ">"})
    await commands.zadd(names.due(A, "g"), {entry_id: await now_ms(commands) + 600_000})
    advice = (await stats(commands)).advice
    assert "Group 'g' has 1 pending, all postponed" in advice
    assert "and no worker is alive to take what is due later: start a worker" in advice

"""A consumer is alive by what its own process did, not by what others do with its entries."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.operations.groups import Groups
from abe_redis.operations.operations import Operations
from abe_redis.operations.scope import Scope
from abe_redis.streams import consumers, lease, names, peek, release, renewal
from abe_redis.streams.reclaim import reclaim
from tests.integration.agents import Ask, text_of
from tests.integration.conftest import MakeBackend, until
from tests.integration.on_streams import A, hold, rows

TOPIC = "slack_events"
LEASE_SECONDS = 0.05


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def idle_ms(redis: Redis, stream: str, consumer: str) -> int:
    found: Any = await redis.xinfo_consumers(stream, "g")
    return int(next(row["idle"] for row in found if row["name"] == consumer.encode()))


async def postponed(redis: Redis, count: int) -> list[str]:
    """Entries that a consumer postponed, and how its lease ran out since."""
    ids = await hold(redis, A, count)
    for entry_id in ids:
        await release.postpone(redis, A, "g", "holder", entry_id, delay_seconds=600)
    await anyio.sleep(4 * LEASE_SECONDS)
    return ids


async def sweep(redis: Redis) -> list[str]:
    leased, _ = await reclaim(redis, "g", "taker", [A], lease_seconds=LEASE_SECONDS, count=10)
    return [entry.id for entry in leased]


async def test_who_looks_at_a_postponed_entry_does_not_make_its_holder_look_alive(commands: Redis) -> None:
    ids = await postponed(commands, 3)
    before = await idle_ms(commands, A, "holder")
    assert await sweep(commands) == []
    assert await idle_ms(commands, A, "holder") >= before
    found = await rows(commands, A)
    assert [(name, deliveries) for name, deliveries, _ in found.values()] == [("abe:postponed", 1)] * 3
    assert list(found) == ids
    assert list(await peek.consumers(commands, A, "g", lease_seconds=30)) == ["holder"]
    await anyio.sleep(4 * LEASE_SECONDS)
    assert await sweep(commands) == [], "what nobody holds yet stays so, however often somebody looks"


async def test_what_nobody_holds_yet_is_delivered_when_it_is_due(commands: Redis) -> None:
    ids = await postponed(commands, 2)
    await sweep(commands)
    await commands.zadd(names.due(A, "g"), {ids[1]: 1})
    assert await sweep(commands) == [ids[1]]
    await commands.xgroup_delconsumer(A, "g", "abe:postponed")
    await commands.zadd(names.due(A, "g"), {ids[0]: 1})
    # The first lease of so short ones may be over by now, and its event is taken again.
    assert ids[0] in await sweep(commands), "also when somebody removed the consumer that stands for nobody"


async def test_a_late_command_of_its_holder_changes_nothing(commands: Redis) -> None:
    """A handler that another consumer's failure outlived has lost its event, and does not get it back."""
    (entry_id,) = await postponed(commands, 1)
    await sweep(commands)
    claim = renewal.Claim(A, entry_id, begun=1, sure=renewal.never, stage=renewal.Stage.AT_WORK)
    for late in ("holder", "taker"):
        assert await renewal.hold(commands, "g", late, [claim]) == ["not_held"], late
        assert await release.postpone(commands, A, "g", late, entry_id, delay_seconds=0) != "done"
    assert (await rows(commands, A))[entry_id][0] == "abe:postponed"


async def test_a_consumer_whose_entries_wait_for_nobody_is_removed_like_any_other(commands: Redis) -> None:
    await postponed(commands, 1)
    await sweep(commands)
    assert await consumers.forget_gone(commands, "g", [A], idle_seconds=LEASE_SECONDS) == 1
    assert await peek.consumers(commands, A, "g", lease_seconds=30) == {}


async def test_a_dead_worker_with_a_retry_to_come_is_silent_while_another_works(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.5)
    redis = (await backend.connections()).commands
    await backend.publish(TOPIC, {"n": 1})
    await redis.xgroup_create(TOPIC, "bot", "0")
    (entry,) = await lease.take_new(redis, "bot", "dead", [TOPIC], count=1, block_ms=None)
    await release.postpone(redis, TOPIC, "bot", "dead", entry.id, delay_seconds=900)
    operations = Operations(backend, origin="cli")

    async def is_looked_at() -> bool:
        found: Any = await redis.xpending_range(TOPIC, "bot", "-", "+", 1)
        return bool(found[0]["consumer"] == b"abe:postponed")

    async def is_silent_for_long() -> bool:
        (group,) = (await operations.glance(stream=TOPIC))[0].groups
        idle = [one.idle_seconds for one in group.consumers if one.name == "dead"]
        return max(idle, default=99) > 2

    async def wait_for_events() -> None:
        async for _ in backend.consume(group="bot"):
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_events)
        await until(is_looked_at)
        await until(is_silent_for_long)
        tasks.cancel_scope.cancel()


async def test_an_agent_that_postponed_an_event_holds_nothing(ask: Ask) -> None:
    await ask("publish_event", payload={"n": 1})
    await ask("lease_events", group="agents")
    await ask("publish_event", payload={"n": 2})
    await ask("release", delay_seconds=900)
    answer = text_of(await ask("stream_stats", stream=TOPIC))
    assert "holds 0; 1 of it postponed, held by nobody." in answer


async def test_a_replay_without_a_consumer_shows_none_that_is_alive(make_backend: MakeBackend) -> None:
    backend = make_backend()
    redis = (await backend.connections()).commands
    await backend.publish(TOPIC, {"n": 1})
    await redis.xgroup_create(TOPIC, "bot", "$")
    await Groups(Scope(backend, origin="cli")).replay(TOPIC, "bot")
    (stats,) = await Operations(backend, origin="cli").glance(stream=TOPIC)
    assert (stats.health, stats.groups[0].consumers, stats.groups[0].pending) == ("stalled", [], 1)

"""Trimming: history is bounded, work is never cut."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.publishing import maintenance
from abe_redis.streams.trim import trim
from tests.integration.conftest import MakeBackend, take, take_one, until
from tests.patience import PATIENCE


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish trims to the end, however long that takes on a busy machine."""
    monkeypatch.setattr(maintenance, "_SECONDS", PATIENCE)


async def publish(backend: RedisMessageQueueBackend, count: int) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(backend.publish, "slack_events", {"n": number})


async def test_without_a_group_the_bound_applies_to_who_wants_it(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await publish(make_backend(redis_stream_maxlen=100, redis_stream_trim_unread=True), 1500)
    assert 100 <= await redis.xlen("slack_events") <= 300


@pytest.mark.promise(
    "Trimming removes events beyond `REDIS_STREAM_MAXLEN` only when every group has finished them"
)
async def test_a_stream_shrinks_only_after_its_group_has_finished(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_maxlen=100)
    await redis.xgroup_create("slack_events", "default", "0", mkstream=True)
    await redis.xgroup_create("slack_events", "done", "$")
    await publish(backend, 2000)
    assert await redis.xlen("slack_events") == 2000
    await redis.xgroup_setid("slack_events", "done", "$")
    async with backend.consume() as events:
        assert sorted(event["n"] for event in await take(events, 2000)) == list(range(2000))

        async def short() -> bool:
            return await redis.xlen("slack_events") <= 100

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wait_for_more, events)
            await until(short)
            await events.aclose()


async def _wait_for_more(events: Any) -> None:
    async for _ in events:
        pass


@pytest.mark.promise(
    "Trimming removes events beyond `REDIS_STREAM_MAXLEN` only when every group has finished them"
)
async def test_a_pending_entry_is_never_cut(redis: Redis) -> None:
    ids: list[Any] = [await redis.xadd("s", {"data": "{}"}) for _ in range(50)]
    await redis.xgroup_create("s", "g", "0")
    await redis.xreadgroup("g", "c", {"s": ">"}, count=50)
    await redis.xack("s", "g", *ids[:20], *ids[21:])
    assert await cut(redis) == (20, False)
    assert await cut(redis) == (0, True)
    entries: Any = await redis.xrange("s", count=1)
    assert entries[0][0] == ids[20]
    await redis.xack("s", "g", ids[20])
    assert await cut(redis) == (25, False)
    assert await redis.xlen("s") == 5
    assert await cut(redis) == (0, False)
    await redis.set("string", "x")
    for nothing in ("missing", "string"):
        (trimmed,) = await trim(redis, [nothing], 5, idle_days=7)
        assert (trimmed.removed, trimmed.blocked) == (0, False)


async def cut(redis: Redis) -> tuple[int, bool]:
    (trimmed,) = await trim(redis, ["s"], 5, idle_days=7)
    assert not trimmed.given_up
    return trimmed.removed, trimmed.blocked


async def test_a_group_that_nobody_uses_and_one_that_was_given_nothing(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """The one is not waited for, the other is, and who works on meanwhile is not disturbed."""
    backend = make_backend(redis_stream_maxlen=50, redis_stream_group_idle_days=1)
    await publish(backend, 100)
    for group, record in (("abandoned", "used"), ("paused", "paused")):
        await redis.xgroup_create("slack_events", group, "0")
        await redis.hset("abe:groups:{slack_events}", f"{record} {group}", "1")
    await publish(backend, 200)
    async with backend.consume() as events:
        await take(events, 300)

        async def is_recorded() -> bool:  # by a tick, which then trims
            floor = await redis.hget("abe:groups:{slack_events}", "floor default")
            return floor is not None and floor.split()[2] in {b"0", b"1"}

        await until(is_recorded)
        await backend.publish("slack_events", {"n": "one more"})
        assert await take_one(events) == {"n": "one more"}
    assert await redis.xlen("slack_events") == 301

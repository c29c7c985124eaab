"""Consumers that come and go: what they leave, how they are called, how they end."""

import asyncio
from typing import Any

import anyio
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from tests.integration.conftest import MakeBackend, pending, take_one, until
from tests.integration.consuming.numbered_events import _exhaust, numbers, publish
from tests.patience import PATIENCE


async def test_a_consumer_that_holds_nothing_leaves_no_trace(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, 1)
    events = backend.consume()
    await take_one(events)
    with anyio.move_on_after(0.05):
        await anext(events)
    await events.aclose()
    assert await redis.xinfo_consumers("slack_events", "default") == []


async def test_close_ends_an_idle_consumer_at_once(backend: RedisMessageQueueBackend) -> None:
    await publish(backend, 1)
    ended = anyio.Event()

    async def work() -> None:
        async for _ in backend.consume():
            pass
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await anyio.sleep(0.2)
        await backend.close()
        with anyio.fail_after(PATIENCE):
            await ended.wait()


async def test_close_ends_it_on_an_empty_database(backend: RedisMessageQueueBackend) -> None:
    async with anyio.create_task_group() as tasks:
        events = backend.consume()
        tasks.start_soon(_exhaust, events)
        await anyio.sleep(0.05)
        with anyio.fail_after(PATIENCE):
            await backend.close()


async def test_the_configured_name_is_the_consumers_name(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_consumer="worker-1")
    await publish(backend, 1)
    async with backend.consume() as events:
        await take_one(events)
        consumers: Any = await redis.xinfo_consumers("slack_events", "default")
        assert [consumer["name"] for consumer in consumers] == [b"worker-1"]


async def test_closing_again_and_again_leaves_nothing_behind(make_backend: MakeBackend, redis: Redis) -> None:
    """Closing may hit any step of a turn: reading, acking, claiming, waiting."""
    publisher = make_backend()
    await publish(publisher, *range(5))
    for number in range(60):
        backend = make_backend()
        events = backend.consume()
        await take_one(events)
        await asyncio.sleep(number % 7 / 1000)
        with anyio.fail_after(PATIENCE):
            await backend.close()
        if number % 4 == 3:
            await redis.xtrim("slack_events", maxlen=0)
            await redis.xgroup_setid("slack_events", "default", "$")
            await publish(publisher, *range(5))
    consumers: Any = await redis.xinfo_consumers("slack_events", "default")
    rows: Any = await redis.xpending_range("slack_events", "default", "-", "+", 100)
    assert all(row["time_since_delivered"] > 1e11 for row in rows), "everything is given back"
    assert sum(consumer["pending"] for consumer in consumers) == len(rows)


async def test_a_consumer_that_is_gone_is_forgotten_once_it_holds_nothing(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await publish(make_backend(), 1)
    await redis.xgroup_create("slack_events", "default", "0")
    await redis.xreadgroup("default", "dead", {"slack_events": ">"})
    await redis.xgroup_createconsumer("slack_events", "default", "never held anything")
    backend = make_backend(redis_stream_lease_seconds=0.5)

    async def names() -> set[bytes]:
        consumers: Any = await redis.xinfo_consumers("slack_events", "default")
        return {consumer["name"] for consumer in consumers}

    async with backend.consume() as events:
        assert numbers([await take_one(events)]) == [1]
        assert await pending(redis, "slack_events") == 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_exhaust, events)

            async def alone() -> bool:
                return await names() == {events.consumer.encode()}

            await until(alone)
            await events.aclose()

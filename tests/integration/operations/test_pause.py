"""Groups that are paused and resumed by hand, and trimming, which waits for them."""

import asyncio
from collections import Counter
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import RequestError
from abe_redis.operations.groups import Groups
from tests.integration.conftest import pending, until
from tests.integration.operations.groups_of_numbers import (
    HOUR,
    RECORDS,
    TOPIC,
    fill,
    groups,
    redis_url,
    stats,
)
from tests.integration.streams.group_progress import seen_unused

__all__ = ["groups", "redis_url"]


async def test_a_paused_group_stands_still_and_goes_on(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups, either_url: str
) -> None:
    """Nothing is lost, nothing comes twice; what handlers are at is finished."""
    seen: Counter[int] = Counter()
    slow, begun = asyncio.Event(), asyncio.Event()

    async def handle(event: Event) -> None:
        if event["n"] == 50:
            begun.set()
            await slow.wait()
        seen[event["n"]] += 1

    async with RedisMessageQueueBackend(Settings(redis_url=either_url)) as second:
        workers = [EventWorker(of, handle, group="bot", concurrency=2) for of in (backend, second)]
        async with anyio.create_task_group() as tasks:
            await fill(redis, 60)
            for worker in workers:
                tasks.start_soon(worker.run)
            await begun.wait()
            assert (await groups.pause(TOPIC, "bot")).done == "paused"
            assert (await groups.pause(TOPIC, "bot")).done == "nothing"

            async def stands_still() -> bool:
                await backend.publish(TOPIC, {"n": 60 + len(published)})
                published.append(1)
                rows: Any = await redis.xpending_range(TOPIC, "bot", "-", "+", 100)
                held = [row for row in rows if row["time_since_delivered"] < HOUR]
                return len(held) == 1 and bool((await stats(backend, "bot")).lag)

            published: list[int] = []
            await until(stands_still)
            before = sum(seen.values())
            slow.set()

            async def finished() -> bool:
                rows: Any = await redis.xpending_range(TOPIC, "bot", "-", "+", 100)
                return not [row for row in rows if row["time_since_delivered"] < HOUR]

            await until(finished)
            assert sum(seen.values()) == before + 1
            with pytest.raises(RequestError, match="is paused"):
                await Operations(backend).read_stream(stream=TOPIC, group="bot")
            found = (await Operations(backend).stream_stats(stream=TOPIC)).streams[0]
            assert (found.health, found.groups[0].paused) == ("paused", True)
            total = 60 + len(published)
            assert sum(seen.values()) == before + 1 < total
            assert (await groups.resume(TOPIC, "bot")).done == "resumed"
            assert (await groups.resume(TOPIC, "bot")).done == "nothing"

            async def all_done() -> bool:
                return len(seen) == total and not await pending(redis, TOPIC, "bot")

            await until(all_done)
            for worker in workers:
                await worker.shutdown()
        assert seen == Counter(range(total))


async def test_a_paused_group_that_somebody_destroyed_can_be_resumed_and_paused_again(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    """No worker is there that makes it again first; the next one finds it as it was left."""
    handled = Counter[int]()

    async def handle(event: Event) -> None:
        handled[event["n"]] += 1

    async def works_on(count: int) -> None:
        worker = EventWorker(backend, handle, group="bot")

        async def is_done() -> bool:
            return len(handled) == count

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(is_done)
            await worker.shutdown()

    await fill(redis, 3)
    await works_on(3)
    await groups.pause(TOPIC, "bot")
    for number in (3, 4):
        await backend.publish(TOPIC, {"n": number})
    await redis.xgroup_destroy(TOPIC, "bot")
    with pytest.raises(RequestError, match="Somebody has destroyed it"):
        await groups.reset(TOPIC, "bot", start="now")
    assert (await groups.resume(TOPIC, "bot")).done == "resumed"
    assert (await groups.pause(TOPIC, "bot")).done == "paused"
    assert (await groups.resume(TOPIC, "bot")).done == "resumed"
    await works_on(5)
    assert handled == Counter(range(5))
    with pytest.raises(RequestError, match="Its groups: 'bot'"):
        await groups.resume(TOPIC, "other")


async def test_trimming_waits_for_a_paused_group(redis: Redis, groups: Groups, either_url: str) -> None:
    await fill(redis, 400)
    await groups.create(TOPIC, "bot")
    await groups.pause(TOPIC, "bot")
    await redis.hset(RECORDS, "used bot", "1")
    settings = Settings(redis_url=either_url, redis_stream_maxlen=100, redis_stream_group_idle_days=1)
    async with RedisMessageQueueBackend(settings) as publisher:
        await publisher.publish(TOPIC, {"n": 400})
        assert await redis.xlen(TOPIC) == 401
        await groups.resume(TOPIC, "bot")
        await publisher.publish(TOPIC, {"n": 401})
        assert await redis.xlen(TOPIC) == 402, "resuming counts as use"
        await redis.hset(RECORDS, "used bot", "1")

        async def trimmed() -> bool:
            await publisher.publish(TOPIC, {"n": 0})
            await seen_unused(redis, TOPIC)
            return await redis.xlen(TOPIC) < 400

        await until(trimmed)

"""The server's clock is set forward: no unfinished work is trimmed because one look says that days passed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from tests.clocks import SteppedServer
from tests.integration.conftest import take
from tests.integration.stepped import redis, stepped

__all__ = ["redis", "stepped"]

TOPIC, MAXLEN, MANY = "slack:a", 100, 400
MINUTE, DAY = 60.0, 86_400.0


@pytest.fixture
def settings(stepped: SteppedServer) -> Settings:
    return Settings(redis_url=stepped.url, redis_stream_maxlen=MAXLEN, redis_stream_lease_seconds=5)


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[RedisMessageQueueBackend]:
    async with RedisMessageQueueBackend(settings) as publisher:
        await publisher.publish_many(TOPIC, [{"n": n} for n in range(MANY)])
        yield publisher


async def finish_two(settings: Settings) -> None:
    """Begin to work as a group, and leave most of what there is."""
    async with RedisMessageQueueBackend(settings) as worker, worker.consume() as events:
        await take(events, 3)


async def oldest(redis: Redis) -> int:
    """The number of the oldest event that is left."""
    found: Any = await redis.xrange(TOPIC, count=1)
    ((_, fields),) = found
    return int(json.loads(fields[b"data"])["n"])


async def publish_after(stepped: SteppedServer, seconds: float, settings: Settings) -> None:
    """Publish at another time, by a process that has not found before that nothing can be trimmed."""
    stepped.step(seconds)
    async with RedisMessageQueueBackend(settings) as publisher:
        await publisher.publish(TOPIC, {"n": "later"})


@pytest.mark.promise("one look at its clock does not tell")
async def test_a_worker_that_is_behind_loses_nothing(
    stepped: SteppedServer, settings: Settings, publisher: RedisMessageQueueBackend, redis: Redis
) -> None:
    async with RedisMessageQueueBackend(settings) as worker, worker.consume() as events:
        assert len(await take(events, 3)) == 3
        stepped.step(8 * DAY)
        for n in range(MANY, MANY + 20):
            await publisher.publish(TOPIC, {"n": n})
        got = {event["n"] for event in await take(events, MANY + 17)}
    assert got == set(range(3, MANY + 20))
    assert not await redis.hget("abe:groups:{slack:a}", "lost default")


@pytest.mark.parametrize("steps", [[8 * DAY], [8 * DAY] * 4, [8 * DAY, -8 * DAY, 9 * DAY]])
async def test_a_worker_that_is_away_meanwhile_loses_nothing(
    stepped: SteppedServer,
    settings: Settings,
    publisher: RedisMessageQueueBackend,
    redis: Redis,
    steps: list[float],
) -> None:
    await finish_two(settings)
    for seconds in steps:
        await publish_after(stepped, seconds, settings)
    assert await oldest(redis) == 2
    async with RedisMessageQueueBackend(settings) as worker, worker.consume() as events:
        left = {event["n"] for event in await take(events, MANY - 2 + len(steps))}
    assert left >= set(range(3, MANY))


@pytest.mark.promise("a group that looks unused must look so for another hour")
async def test_a_group_that_nobody_uses_is_given_up_an_hour_later(
    stepped: SteppedServer, settings: Settings, publisher: RedisMessageQueueBackend, redis: Redis
) -> None:
    await finish_two(settings)
    await publish_after(stepped, 8 * DAY, settings)
    for minutes in (9, 9, 9, 9, 9, 9):
        await publish_after(stepped, minutes * MINUTE, settings)
    assert await oldest(redis) == 2
    await publish_after(stepped, 9 * MINUTE, settings)
    assert await oldest(redis) > 100


async def test_a_group_that_is_used_meanwhile_is_waited_for_as_long_again(
    stepped: SteppedServer, settings: Settings, publisher: RedisMessageQueueBackend, redis: Redis
) -> None:
    await finish_two(settings)
    await publish_after(stepped, 8 * DAY, settings)
    for _ in range(5):
        await publish_after(stepped, 10 * MINUTE, settings)
    await finish_two(settings)
    for seconds in (8 * DAY, 10 * MINUTE, 10 * MINUTE):
        await publish_after(stepped, seconds, settings)
    assert await oldest(redis) == 4


async def test_a_group_that_somebody_makes_anew_elsewhere_is_waited_for(
    stepped: SteppedServer, settings: Settings, publisher: RedisMessageQueueBackend, redis: Redis
) -> None:
    """What is known of the disuse of its predecessor does not count."""
    await finish_two(settings)
    await publish_after(stepped, 8 * DAY, settings)
    for _ in range(5):
        await publish_after(stepped, 10 * MINUTE, settings)
    await redis.xgroup_destroy(TOPIC, "default")
    await redis.xgroup_create(TOPIC, "default", "0")
    for _ in range(2):
        await publish_after(stepped, 10 * MINUTE, settings)
    assert await oldest(redis) == 2

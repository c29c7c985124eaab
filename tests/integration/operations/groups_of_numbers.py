"""Streams of numbers, the groups on them, and what each group receives."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.schemas import GroupStats
from abe_redis.streams import names
from tests.patience import PATIENCE

TOPIC = "slack_events"
RECORDS = names.records(TOPIC)
HOUR = 3_600_000


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture
def groups(backend: RedisMessageQueueBackend) -> Groups:
    return Groups(Scope(backend))


async def fill(redis: Redis, count: int, *, hours_ago: int | None = None) -> list[str]:
    """Entries of now, or one per hour."""
    pipeline = redis.pipeline(transaction=False)
    now: Any = await redis.time()
    for number in range(count):
        at = "*" if hours_ago is None else f"{now[0] * 1000 - (hours_ago - number) * HOUR}-0"
        pipeline.xadd(TOPIC, {"data": f'{{"n": {number}}}'}, id=at)
    return [entry_id.decode() for entry_id in await pipeline.execute()]


async def stats(backend: RedisMessageQueueBackend, name: str) -> GroupStats:
    found = (await Operations(backend).stream_stats(stream=TOPIC)).streams[0].groups
    return next(one for one in found if one.name == name)


async def received(backend: RedisMessageQueueBackend, group: str, count: int) -> list[int]:
    """The next events of a group, all acked, each at its first delivery."""
    numbers: list[int] = []

    async def handle(event: Event) -> None:
        assert event.deliveries == 1
        numbers.append(event["n"])
        if len(numbers) == count:
            await worker.shutdown()

    worker = EventWorker(backend, handle, group=group, concurrency=1)
    with anyio.fail_after(PATIENCE):
        await worker.run()
    return numbers

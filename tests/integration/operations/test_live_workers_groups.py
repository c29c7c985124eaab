"""A group whose workers live is not removed, though its consumers are not there: they would make it again."""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.errors import RequestError
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.integration.conftest import pending, until
from tests.integration.operations.groups_of_numbers import TOPIC, redis_url

__all__ = ["redis_url"]

GROUP = "bot"


class Paused:
    """A group that has finished what there is, and is paused; its worker lives, and has heard of that."""

    def __init__(self, backend: RedisMessageQueueBackend, redis: Redis) -> None:
        self.backend = backend
        self.redis = redis
        self.groups = Groups(Scope(backend))
        self.handled = Counter[int]()

    async def handle(self, event: Event) -> None:
        self.handled[event["n"]] += 1

    async def has_finished(self) -> bool:
        return self.handled.keys() == {0, 1, 2} and not await pending(self.redis, TOPIC, GROUP)

    async def is_kept(self) -> None:
        """The group is refused, and goes on with what comes, once it is resumed."""
        with pytest.raises(RequestError, match="has consumers that are alive"):
            await self.groups.remove(TOPIC, GROUP)
        await self.groups.resume(TOPIC, GROUP)
        await self.backend.publish(TOPIC, {"n": 3})

        async def has_the_last() -> bool:
            return 3 in self.handled

        await until(has_the_last)
        assert self.handled == Counter(range(4))


@pytest.fixture(params=[False, True], ids=["unordered", "ordered"])
async def paused(
    request: pytest.FixtureRequest, redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Paused]:
    caplog.set_level(logging.INFO)
    settings = Settings(redis_url=redis_url, redis_stream_lease_seconds=10)
    async with RedisMessageQueueBackend(settings) as backend, anyio.create_task_group() as tasks:
        one = Paused(backend, redis)
        for number in range(3):
            await backend.publish(TOPIC, {"n": number})
        worker = EventWorker(backend, one.handle, group=GROUP, ordered=request.param)
        tasks.start_soon(worker.run)
        await until(one.has_finished)
        await one.groups.pause(TOPIC, GROUP)

        async def stands_still() -> bool:
            said = caplog.text
            return "is paused" in said and (not request.param or f"releases {TOPIC!r}" in said)

        await until(stands_still)
        yield one
        await worker.shutdown()


async def test_a_paused_group_of_a_live_worker_is_not_removed(paused: Paused) -> None:
    await paused.is_kept()


async def test_nor_is_one_whose_consumer_somebody_removed(paused: Paused) -> None:
    rows: Any = await paused.redis.xinfo_consumers(TOPIC, GROUP)
    for row in rows:
        await paused.redis.xgroup_delconsumer(TOPIC, GROUP, row["name"])
    await paused.is_kept()


async def test_nor_is_one_that_somebody_destroyed(paused: Paused) -> None:
    await paused.redis.xgroup_destroy(TOPIC, GROUP)
    await paused.is_kept()

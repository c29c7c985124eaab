"""The end of a worker: who is waited for, and for how long."""

import anyio
from redis.asyncio import Redis

from abe_redis import (
    Event,
    EventWorker,
    RedisMessageQueueBackend,
)
from tests.integration.conftest import MakeBackend, take_one
from tests.integration.worker.worker_at_work import publish
from tests.patience import PATIENCE


async def test_shutdown_waits_for_what_is_at_work(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    started, finished = anyio.Event(), anyio.Event()

    async def handle(_: Event) -> None:
        started.set()
        await anyio.sleep(0.3)
        finished.set()

    await publish(backend, 1, 2)
    worker = EventWorker(backend, handle)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await started.wait()
        await worker.shutdown()
    assert finished.is_set()
    async with backend.consume() as events:
        event = await take_one(events)
    assert (event["n"], event.deliveries) == (2, 1)


async def test_shutdown_does_not_wait_for_ever(make_backend: MakeBackend) -> None:
    backend = make_backend()
    started = anyio.Event()

    async def handle(_: Event) -> None:
        started.set()
        await anyio.sleep_forever()

    await publish(backend, 1)
    worker = EventWorker(backend, handle, drain_seconds=0.1)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await started.wait()
            await worker.shutdown()
    async with make_backend().consume() as events:
        assert (await take_one(events)).deliveries == 2


async def test_an_idle_worker_ends_with_the_back_end(backend: RedisMessageQueueBackend) -> None:
    async def handle(_: Event) -> None:
        raise AssertionError

    worker = EventWorker(backend, handle)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await anyio.sleep(0.1)
            await backend.close()

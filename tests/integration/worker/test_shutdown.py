"""The end of a worker: who is waited for, and for how long."""

from collections.abc import Sequence

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import (
    Event,
    EventWorker,
    RedisMessageQueueBackend,
)
from tests.integration.conftest import MakeBackend, take_one, until
from tests.integration.worker.worker_at_work import publish
from tests.patience import PATIENCE
from tests.refusing_proxy import HANG_UP, RefusingProxy
from tests.servers import Server


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


def counts_a_delivery(words: Sequence[bytes]) -> bool:
    """Whether a command counts the delivery of an event that begins again."""
    return b"start" in words or words[-1:] == [b"ask"]


@pytest.mark.one_server
@pytest.mark.parametrize("is_away", [True, False], ids=["away", "stands still"])
@pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])
async def test_an_idle_worker_does_not_wait_for_a_redis_that_does_not_answer(
    make_backend: MakeBackend,
    redis: Redis,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    is_away: bool,
    ordered: bool,
) -> None:
    """It has an event whose delivery begins when Redis has counted it."""
    first, asked = make_backend(), anyio.Event()
    await first.publish("slack_events", {"type": "message", "channel": "C1", "n": 1})
    async with first.consume_ordered() if ordered else first.consume() as events:
        await (await take_one(events)).nack()

    async def handle(_: Event) -> None:
        raise AssertionError

    def refuse(words: Sequence[bytes]) -> bytes | None:
        if counts_a_delivery(words):
            asked.set()
        return HANG_UP if asked.is_set() else None

    async def is_asked() -> bool:
        return asked.is_set() or proxy.held_up > 0

    async with RefusingProxy(server.port) as proxy:
        if is_away:
            proxy.refusal = refuse
        else:
            proxy.holds_up = lambda words: proxy.held_up > 0 or counts_a_delivery(words)
        backend = make_backend(redis_url=f"redis://127.0.0.1:{proxy.port}/0")
        worker = EventWorker(backend, handle, ordered=ordered, drain_seconds=10 * PATIENCE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(is_asked)
            await worker.shutdown()
            tasks.cancel_scope.deadline = anyio.current_time() + PATIENCE
        assert not tasks.cancel_scope.cancel_called, "it waited for handlers"
        proxy.let_go.set()
        await backend.close()
    assert "Handlers did not end" not in caplog.text
    assert worker.given_back == 0


async def test_a_worker_without_time_for_handlers_says_nothing_of_them_where_none_is_at_work(
    backend: RedisMessageQueueBackend, caplog: pytest.LogCaptureFixture
) -> None:
    handled = anyio.Event()

    async def handle(_: Event) -> None:
        handled.set()

    await publish(backend, 1)
    worker = EventWorker(backend, handle, concurrency=3, drain_seconds=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await handled.wait()
        while worker.handled == 0:
            await anyio.sleep(0.01)
        await worker.shutdown()
    assert "Handlers did not end" not in caplog.text

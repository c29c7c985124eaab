"""Handlers that take long: their leases, their time limits, and what follows when a lease is lost."""

import contextlib
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import (
    Bury,
    Event,
    EventWorker,
    RedisMessageQueueBackend,
    Settings,
)
from abe_redis.sanitize.exceptions import describe
from tests.integration.conftest import MakeBackend, take_away, until, until_renewed
from tests.integration.worker.worker_at_work import at_work, letters, nothing_pending, publish
from tests.patience import PATIENCE
from tests.servers import Server


async def test_a_slow_handler_runs_once(make_backend: MakeBackend, redis: Redis) -> None:
    backends = [make_backend(redis_stream_lease_seconds=6) for _ in range(2)]
    calls: list[int] = []
    may_end = anyio.Event()

    async def handle(event: Event) -> None:
        calls.append(event.deliveries)
        await may_end.wait()

    async def has_begun() -> bool:
        return bool(calls)

    await publish(backends[0], 1)
    async with at_work(*(EventWorker(backend, handle) for backend in backends)):
        await until(has_begun)
        await until_renewed(redis, "slack_events", 3)  # its first lease would be over
        may_end.set()
        await until(nothing_pending(redis))
    assert calls == [1]


@pytest.mark.promise("The worker's handler is cancelled.")
async def test_a_handler_that_lost_its_lease_is_cancelled(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.6)
    cancelled, started = anyio.Event(), anyio.Event()
    ids: list[str] = []

    async def handle(event: Event) -> None:
        ids.append(event.id)
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    await publish(backend, 1)
    async with at_work(EventWorker(backend, handle)):
        await started.wait()
        await take_away(redis, "slack_events", [ids[0]], "thief")
        with anyio.fail_after(PATIENCE):
            await cancelled.wait()
    rows: Any = await redis.xpending_range("slack_events", "default", "-", "+", 10)
    assert [row["consumer"] for row in rows] == [b"thief"], "its ack would have been refused"


async def test_a_failure_of_a_handler_that_lost_its_lease_is_the_others_affair(
    make_backend: MakeBackend, redis: Redis
) -> None:
    first = make_backend()
    failed = anyio.Event()

    async def handle(event: Event) -> None:
        await redis.xclaim("slack_events", "default", "other", 0, [event.id], justid=True)
        failed.set()
        raise LookupError("no such channel")

    await publish(first, 1)
    worker = EventWorker(first, handle)
    async with at_work(worker):
        await failed.wait()  # and then for what the worker does about it, before it ends
    rows: Any = await redis.xpending_range("slack_events", "default", "-", "+", 9)
    assert [(row["consumer"], row["times_delivered"]) for row in rows] == [(b"other", 1)]
    assert rows[0]["time_since_delivered"] < 1000 * PATIENCE, "it was not given back"
    assert await letters(redis) == []


async def test_a_failed_nack_is_logged(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async def handle(event: Event) -> None:
        own_server.kill()
        raise LookupError("no such channel")

    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await publish(backend, 1)
        async with at_work(EventWorker(backend, handle)):

            async def told() -> bool:
                return "The event is delivered again when Redis answers again." in caplog.text

            await until(told)
            own_server.start()


async def test_nothing_is_renewed_for_ever(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.5, redis_stream_max_handling_seconds=1)
    deliveries: list[int] = []

    async def handle(event: Event) -> None:
        deliveries.append(event.deliveries)
        if event.deliveries == 1:
            await anyio.sleep_forever()

    await publish(backend, 1)
    async with at_work(EventWorker(backend, handle, concurrency=2)):
        await until(nothing_pending(redis))
    assert deliveries == [1, 2]


async def test_a_handler_has_its_time(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    async def handle(_: Event) -> None:
        await anyio.sleep_forever()

    await publish(backend, 1)
    worker = EventWorker(
        backend, handle, handler_timeout=0.05, policy=lambda _event, error: Bury(describe(error))
    )
    async with at_work(worker):
        await until(nothing_pending(redis))
    (letter,) = await letters(redis)
    assert letter[b"abe:reason"] == b"TimeoutError: the handler took longer than 0.05 s"


async def test_a_handler_that_swallows_its_cancellation_has_had_its_time_all_the_same(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    async def handle(_: Event) -> str:
        with contextlib.suppress(BaseException):  # as people write it
            await anyio.sleep_forever()
        return "done, it says"

    await publish(backend, 1)
    worker = EventWorker(
        backend, handle, handler_timeout=0.05, policy=lambda _event, error: Bury(describe(error))
    )
    async with at_work(worker):
        await until(nothing_pending(redis))
    (letter,) = await letters(redis)
    assert letter[b"abe:reason"] == b"TimeoutError: the handler took longer than 0.05 s"
    assert (worker.handled, worker.failed) == (0, 1)

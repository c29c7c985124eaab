"""Somebody removes a consumer while handlers work: it keeps what it has, or it is delivered again."""

import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Retry
from abe_redis.runtime import clock
from tests.hosts import forking
from tests.hosts.processes import Child
from tests.integration.conftest import MakeBackend, until, until_renewed
from tests.integration.consuming.foreign_hands import (
    KINDS,
    STREAM,
    Handlers,
    is_finished,
    pending,
    publish,
    until_at_work,
    working,
)


async def remove_consumers(redis: Redis) -> int:
    """As somebody who tidies up; how much was pending."""
    found: Any = await redis.xinfo_consumers(STREAM, "default")
    return sum([await redis.xgroup_delconsumer(STREAM, "default", row["name"]) for row in found])


@KINDS
async def test_a_removed_consumer_keeps_what_it_has(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    handlers = Handlers()
    backends = [make_backend(redis_stream_lease_seconds=6) for _ in range(2)]
    workers = [EventWorker(one, handlers, concurrency=3, ordered=ordered) for one in backends]
    await publish(backends[0], *range(12))
    async with working(*workers):
        await until_at_work(handlers, 3 if ordered else 6)
        assert await remove_consumers(redis)

        async def is_put_back() -> bool:
            return len(await pending(redis)) >= sum(handlers.at_work.values())

        await until(is_put_back)
        assert {row["times_delivered"] for row in (await pending(redis)).values()} <= {0, 1}
        await until_renewed(redis, STREAM, 3)  # the leases of before would be over
        assert handlers.cancelled == {}
        assert max(handlers.most_at_work.values()) == 1
        handlers.may_end.set()

        async def all_done() -> bool:
            return len(handlers.done) == 12

        await until(all_done)
        await until(lambda: is_finished(redis))
    assert handlers.done == dict.fromkeys(range(12), 1)


@KINDS
async def test_an_event_that_a_removed_consumer_postponed_is_delivered_again(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    deliveries: list[int] = []

    async def handle(event: Event) -> None:
        deliveries.append(event.deliveries)
        if len(deliveries) == 1:
            raise ValueError("the first time is never right")

    backend = make_backend(redis_stream_lease_seconds=1)
    worker = EventWorker(backend, handle, ordered=ordered, policy=lambda *_: Retry(1.5))
    await publish(backend, 1)
    async with working(worker):
        await until(lambda: redis.zcard("abe:due:{slack_events}:default"))
        assert await remove_consumers(redis) == 1

        async def again() -> bool:
            return len(deliveries) == 2

        await until(again)
        await until(lambda: is_finished(redis))
    assert await redis.zcard("abe:due:{slack_events}:default") == 0


@KINDS
@pytest.mark.parametrize("name", [None, "named"])
async def test_what_a_killed_worker_held_is_delivered_though_its_consumer_is_removed(
    make_backend: MakeBackend, redis: Redis, tmp_path: Path, ordered: bool, name: str | None
) -> None:
    """Somebody tidies up after it, before its lease ends. Another worker, or one of its name, goes on."""
    handlers = Handlers()
    handlers.may_end.set()
    backend = make_backend(redis_stream_lease_seconds=1, redis_stream_consumer=name)
    variables = os.environ | {"REDIS_URL": backend.settings.redis_url, "REDIS_STREAM_LEASE_SECONDS": "1"}
    variables |= {"REDIS_STREAM_CONSUMER": name} if name else {}
    kind = "ordered" if ordered else "plain"
    command = [*forking.ours(), "-m", "tests.integration.worker.lives", kind, "2", "0.1"]
    await redis.xadd(STREAM, {"data": '{"n": 7, "seconds": 3600}'})
    root, stderr = Path(__file__).parents[3], tmp_path / "stderr"
    with Child(command, cwd=root, variables=variables, stderr=stderr) as killed:
        await anyio.to_thread.run_sync(lambda: killed.line(0))
        killed.process.kill()
        await anyio.to_thread.run_sync(killed.wait)
    assert await remove_consumers(redis) == 1
    async with working(EventWorker(backend, handlers, ordered=ordered)):

        async def is_done() -> bool:
            return handlers.done[7] == 1

        await until(is_done)
        await until(lambda: is_finished(redis))
    assert handlers.started == {7: 1}


@KINDS
async def test_an_event_that_another_finished_meanwhile_is_not_put_back(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    """A worker is frozen; another is done with its event before it wakes: it does not come back."""
    handlers = Handlers()
    backend = make_backend(redis_stream_lease_seconds=1)
    await publish(backend, 1)
    root = Path(__file__).parents[3]
    variables = os.environ | {"REDIS_URL": backend.settings.redis_url, "REDIS_STREAM_LEASE_SECONDS": "1"}
    kind = "ordered" if ordered else "plain"
    command = [sys.executable, "-m", "tests.integration.worker.lives", kind, "2", "0.1"]
    # Its one event takes it an hour.
    await redis.xadd(STREAM, {"data": '{"n": 7, "seconds": 3600}'})
    handlers.may_end.set()
    with Child(command, cwd=root, variables=variables, stderr=Path("stderr")) as frozen:
        await anyio.to_thread.run_sync(lambda: frozen.line(1))
        frozen.signal(signal.SIGSTOP)
        async with working(EventWorker(backend, handlers, ordered=ordered)):
            await until(lambda: is_finished(redis))
            frozen.signal(signal.SIGCONT)
            await anyio.sleep(2)
            assert await is_finished(redis)
        frozen.signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(frozen.wait) == 0
        assert "its lease was lost" in frozen.stderr
    assert handlers.done[7] == 1


async def test_a_handler_that_ignores_its_cancellation_is_not_started_beside_itself(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """A handler has it for too long, and does not end when it is cancelled."""
    at_work, most, started = 0, 0, 0
    may_end = anyio.Event()

    async def handle(_: Event) -> None:
        nonlocal at_work, most, started
        started += 1
        at_work += 1
        most = max(most, at_work)
        try:
            if started == 1:
                with anyio.CancelScope(shield=True):
                    await may_end.wait()
        finally:
            at_work -= 1

    backend = make_backend(redis_stream_lease_seconds=1, redis_stream_max_handling_seconds=1)
    await publish(backend, 1)
    async with working(EventWorker(backend, handle, concurrency=4)):
        await anyio.sleep(5)
        assert (started, at_work) == (1, 1)
        may_end.set()
        await until(lambda: is_finished(redis))
    assert (started, most) == (2, 1)


async def dropped_and_there_again(redis: Redis, *, stolen_owner: bool) -> None:
    """A consumer is removed, and a read of its own that was on its way makes it again."""
    (row,) = await redis.xinfo_consumers(STREAM, "default")
    pipeline = redis.pipeline(transaction=True)
    if stolen_owner:
        pipeline.set("abe:owner:{slack_events}:default", "another", px=1500)
    pipeline.xgroup_delconsumer(STREAM, "default", row["name"])
    pipeline.xgroup_createconsumer(STREAM, "default", row["name"])
    assert (await pipeline.execute())[-2] == 1


async def test_a_worker_that_doubts_its_lease_keeps_what_was_dropped_with_its_consumer(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = Handlers()
    backend = make_backend(redis_stream_lease_seconds=3)
    await publish(backend, 1)
    async with working(EventWorker(backend, handlers)):
        await until_at_work(handlers, 1)
        monkeypatch.setattr(clock, "doubted_at", lambda: math.inf)
        await dropped_and_there_again(redis, stolen_owner=False)

        async def is_put_back() -> bool:
            return len(await pending(redis)) == 1

        await until(is_put_back)
        handlers.may_end.set()
        await until(lambda: is_finished(redis))
    assert (handlers.started, handlers.done, handlers.cancelled) == ({1: 1}, {1: 1}, {})


async def test_an_event_whose_worker_lost_the_stream_and_then_its_consumer_is_delivered_again(
    make_backend: MakeBackend, redis: Redis
) -> None:
    handlers = Handlers()
    backend = make_backend(redis_stream_lease_seconds=4)
    await publish(backend, 1)
    async with working(EventWorker(backend, handlers, ordered=True)):
        await until_at_work(handlers, 1)

        async def is_counted() -> bool:
            return [row["times_delivered"] for row in (await pending(redis)).values()] == [1]

        await until(is_counted)  # until then, the worker puts it back since its lease is young
        await dropped_and_there_again(redis, stolen_owner=True)

        async def is_cancelled() -> bool:
            return handlers.cancelled == {1: 1}

        await until(is_cancelled)
        handlers.may_end.set()

        async def is_done() -> bool:
            return handlers.done == {1: 1}

        await until(is_done)
        await until(lambda: is_finished(redis))
    assert handlers.started == {1: 2}

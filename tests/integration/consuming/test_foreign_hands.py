"""What happens when somebody else removes the group, or a consumer of it, while handlers work.

A member knows what it holds: it never starts that a second time, and puts it back where somebody dropped it.
"""

import math
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Retry
from abe_redis.runtime import clock
from tests.hosts.processes import Child
from tests.integration.conftest import MakeBackend, until

STREAM = "slack_events"
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


class Handlers:
    """Handlers that work until they may end; what they did is counted."""

    def __init__(self) -> None:
        self.may_end = anyio.Event()
        self.at_work = Counter[int]()
        self.most_at_work = Counter[int]()
        self.started = Counter[int]()
        self.done = Counter[int]()
        self.cancelled = Counter[int]()

    async def __call__(self, event: Event) -> None:
        number = event["n"]
        self.started[number] += 1
        self.at_work[number] += 1
        self.most_at_work[number] = max(self.at_work[number], self.most_at_work[number])
        try:
            await self.may_end.wait()
            self.done[number] += 1
        except anyio.get_cancelled_exc_class():
            self.cancelled[number] += 1
            raise
        finally:
            self.at_work[number] -= 1


@asynccontextmanager
async def working(*workers: EventWorker) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        yield
        for worker in workers:
            await worker.shutdown()


async def publish(backend: RedisMessageQueueBackend, *numbers: int) -> None:
    """Each in a conversation of its own."""
    for n in numbers:
        payload = {"type": "event_callback", "event_id": f"Ev{n}", "n": n, "event": {"channel": f"C{n}"}}
        await backend.publish(STREAM, payload)


async def is_finished(redis: Redis) -> bool:
    groups: Any = await redis.xinfo_groups(STREAM)
    return bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] in {0, None}


async def until_at_work(handlers: Handlers, count: int) -> None:
    async def enough() -> bool:
        return sum(handlers.at_work.values()) >= count

    await until(enough)


async def pending(redis: Redis) -> dict[str, Any]:
    found: Any = await redis.xpending_range(STREAM, "default", "-", "+", 1000)
    return {row["message_id"].decode(): row for row in found}


async def until_recorded(redis: Redis) -> None:
    """How far the group is, as a member notes it soon after it has leased something."""

    async def known() -> bool:
        groups: Any = await redis.xinfo_groups(STREAM)
        last: Any = await redis.hget("abe:groups:{slack_events}", "last default")
        return bool(last == groups[0]["last-delivered-id"])

    await until(known)


# --- The group ------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("recorded", [False, True], ids=["at once", "later"])
async def test_a_destroyed_group_starts_nothing_that_is_at_work(
    make_backend: MakeBackend, redis: Redis, ordered: bool, recorded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = Handlers()
    backends = [make_backend(redis_stream_lease_seconds=3) for _ in range(2)]
    workers = [EventWorker(one, handlers, concurrency=3, ordered=ordered) for one in backends]
    await publish(backends[0], *range(8))
    at_first = 3 if ordered else 6  # a stream has one owner
    async with working(*workers):
        await until_at_work(handlers, at_first)
        if recorded:
            await until_recorded(redis)
        await redis.xgroup_destroy(STREAM, "default")
        await publish(backends[0], *range(8, 12))
        await anyio.sleep(4)  # longer than a lease
        assert max(handlers.most_at_work.values()) == 1
        assert handlers.cancelled == {}
        assert sum(handlers.at_work.values()) == at_first
        handlers.may_end.set()
        await until(lambda: is_finished(redis))
        assert set(handlers.done) == set(range(12))
        assert max(handlers.most_at_work.values()) == 1
    assert "somebody had removed" in caplog.text


@KINDS
async def test_events_in_flight_when_the_group_was_destroyed_can_be_acked(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    """Handlers end at once, before anybody may have noticed."""
    handlers = Handlers()
    backend = make_backend()
    await publish(backend, *range(4))
    async with working(EventWorker(backend, handlers, concurrency=4, ordered=ordered)):
        await until_at_work(handlers, 4)
        await until_recorded(redis)
        await redis.xgroup_destroy(STREAM, "default")
        handlers.may_end.set()
        await until(lambda: is_finished(redis))
    assert handlers.started == dict.fromkeys(range(4), 1)
    assert handlers.done == dict.fromkeys(range(4), 1)


@KINDS
@pytest.mark.parametrize("how", ["made again at 0", "set back to 0"])
async def test_a_group_that_is_set_back_starts_nothing_that_is_at_work(
    make_backend: MakeBackend, redis: Redis, ordered: bool, how: str
) -> None:
    """Everything is delivered again, which is what was asked for; but not beside itself."""
    handlers = Handlers()
    backend = make_backend()
    await publish(backend, *range(3))
    async with working(EventWorker(backend, handlers, concurrency=6, ordered=ordered)):
        await until_at_work(handlers, 3)
        if how == "set back to 0":
            await redis.xgroup_setid(STREAM, "default", "0")
        else:
            pipeline = redis.pipeline(transaction=True)
            pipeline.xgroup_destroy(STREAM, "default")
            pipeline.xgroup_create(STREAM, "default", "0")
            await pipeline.execute()
        await publish(backend, 3)
        await until_at_work(handlers, 4)
        await anyio.sleep(1)
        assert handlers.started == dict.fromkeys(range(4), 1)
        handlers.may_end.set()
        await until(lambda: is_finished(redis))
    assert max(handlers.most_at_work.values()) == 1
    assert handlers.cancelled == {}


async def test_an_event_postponed_when_the_group_was_destroyed_robs_nobody(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """It is delivered again; when its old time comes, its handler is at work and stays so."""
    handlers = Handlers()
    failed = anyio.Event()

    async def handle(event: Event) -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("the first time is never right")
        await handlers(event)

    def worker() -> EventWorker:
        backend = make_backend(redis_stream_lease_seconds=4)
        return EventWorker(backend, handle, concurrency=2, policy=lambda *_: Retry(3))

    publisher = make_backend()
    await publish(publisher, 1)
    async with working(worker(), worker()):
        await until(lambda: redis.zcard("abe:due:{slack_events}:default"))
        pipeline = redis.pipeline(transaction=True)
        pipeline.xgroup_destroy(STREAM, "default")
        pipeline.xgroup_create(STREAM, "default", "0")
        await pipeline.execute()
        await publish(publisher, 2)  # wakes who waits
        await until_at_work(handlers, 2)
        await anyio.sleep(5)
        assert handlers.started == {1: 1, 2: 1}
        assert handlers.cancelled == {}
        handlers.may_end.set()
        await until(lambda: is_finished(redis))


# --- A consumer -----------------------------------------------------------------------------------------


async def remove_consumers(redis: Redis) -> int:
    """As somebody who tidies up; how much was pending."""
    found: Any = await redis.xinfo_consumers(STREAM, "default")
    return sum([await redis.xgroup_delconsumer(STREAM, "default", row["name"]) for row in found])


@KINDS
async def test_a_removed_consumer_keeps_what_it_has(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    handlers = Handlers()
    backends = [make_backend(redis_stream_lease_seconds=3) for _ in range(2)]
    workers = [EventWorker(one, handlers, concurrency=3, ordered=ordered) for one in backends]
    await publish(backends[0], *range(12))
    async with working(*workers):
        await until_at_work(handlers, 3 if ordered else 6)
        assert await remove_consumers(redis)

        async def is_put_back() -> bool:
            return len(await pending(redis)) >= sum(handlers.at_work.values())

        await until(is_put_back)
        assert {row["times_delivered"] for row in (await pending(redis)).values()} <= {0, 1}
        await anyio.sleep(4)  # longer than a lease
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
    command = [sys.executable, "-m", "tests.integration.worker.lives", kind, "2", "0.1"]
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
    backend = make_backend(redis_stream_lease_seconds=1.5)
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

"""Events of dead workers: taken over some at a time, and buried when they may have killed one."""

import asyncio
import math
import time
from collections import deque
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Retry, Settings
from abe_redis.consuming import prefetch
from abe_redis.consuming.held import Held
from abe_redis.consuming.in_flight import InFlight
from abe_redis.streams import dead, lease, names
from abe_redis.streams.reclaim import reclaim
from tests.integration.conftest import pending, take, take_one, until
from tests.integration.consuming.leased_ahead import STREAM
from tests.servers import Server


async def test_an_event_that_may_have_killed_its_handler_is_leased_alone(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    """By a consumer that has just begun, as after a crash."""
    await backend.publish_many(STREAM, [{"n": 1}, {"n": 2}])
    await redis.xgroup_create(STREAM, "default", "0")
    leased = await lease.take_new(redis, "default", "dead", [STREAM], count=2, block_ms=None)
    for entry in leased:
        await redis.xclaim(STREAM, "default", "dead", 0, [entry.id], idle=100_000, justid=True)
    async with backend.consume() as events:
        assert await take_one(events) == {"n": 1}
        rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 9)
        assert [row["consumer"].decode() for row in rows] == [events.consumer, "dead"]
        assert await take_one(events) == {"n": 2}


async def die_with(redis: Redis, backend: RedisMessageQueueBackend, count: int) -> None:
    """A consumer that is gone had begun so many events, each once."""
    await backend.publish_many(STREAM, [{"n": number} for number in range(count)])
    await redis.xgroup_create(STREAM, "default", "0")
    leased = await lease.take_new(redis, "default", "dead", [STREAM], count=count, block_ms=None)
    ids: Any = [entry.id for entry in leased]
    await redis.xclaim(STREAM, "default", "dead", 0, ids, idle=100_000, justid=True)


@pytest.mark.one_server
async def test_many_events_of_a_dead_worker_are_taken_over_some_at_a_time(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)
    monkeypatch.setattr(prefetch, "SLOW_SECONDS", math.inf)
    sizes = list[int]()

    async def counted(*arguments: Any, **more: Any) -> Any:
        leased, lost = await reclaim(*arguments, **more)
        sizes.append(len(leased))
        return leased, lost

    monkeypatch.setattr("abe_redis.consuming.reclaims.reclaim", counted)
    await die_with(redis, backend, 600)
    async with backend.consume() as events:
        taken = await take(events, 600)
        assert [event["n"] for event in taken] == list(range(600))
        assert {event.deliveries for event in taken} == {2}
    assert sizes[0] == 1, "a process that has just begun may have been killed by it"
    assert max(sizes) == 32
    assert len([size for size in sizes if size]) <= 600 / 32 + 16
    assert await pending(redis, STREAM) == 1, "the last one, after which nobody asked for another"


async def test_what_is_taken_over_with_others_has_not_begun(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one of them kills the process, the others are not buried for that."""
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)
    monkeypatch.setattr(prefetch, "SLOW_SECONDS", math.inf)
    await die_with(redis, backend, 100)
    async with backend.consume() as events:
        last = (await take(events, 50))[-1]

        async def counts() -> list[int]:
            rows: Any = await redis.xpending_range(STREAM, "default", last.id, "+", 100, events.consumer)
            return [row["times_delivered"] for row in rows]

        async def holds_more() -> bool:
            return len(await counts()) > 1

        await until(holds_more)
        first, *others = await counts()
        assert first == 2
        assert set(others) == {1}
    # Closing gives them back with their counts.
    rows: Any = await redis.xpending_range(STREAM, "default", f"({last.id}", "+", 100)
    assert {row["times_delivered"] for row in rows} == {1}


async def test_an_event_that_cannot_be_buried_stays_pending_and_is_logged(
    backend: RedisMessageQueueBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(f"dead:{{{STREAM}}}", "no stream")
    await redis.xadd(STREAM, {"data": "no JSON"})
    await backend.publish(STREAM, {"n": 1})
    async with backend.consume() as events:
        assert await take_one(events) == {"n": 1}

        async def told() -> bool:
            return "The entry stays pending." in caplog.text

        await until(told)
        await backend.publish(STREAM, {"n": 2})
        assert await take_one(events) == {"n": 2}
    assert "The key is not a stream" in caplog.text
    assert await pending(redis, STREAM) == 2


class Nobody:
    """Who settles events that nobody settles."""

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None: ...

    async def bury(self, event: Event, *, reason: str) -> None: ...


async def test_a_burial_said_again_adds_no_second_letter_however_many_came_between(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.publish(STREAM, {"n": 1})
    await redis.xgroup_create(STREAM, "g", "0")
    (entry,) = await lease.take_new(redis, "g", "me", [STREAM], count=1, block_ms=None)
    in_flight = InFlight(backend.settings, "g", "me", Nobody(), deque[Held]())
    bury = dead.bury

    async def answer_is_lost(*arguments: Any, **more: Any) -> bool:
        await bury(*arguments, **more)
        raise RedisConnectionError

    assert in_flight.accept([entry._replace(deliveries=99)]) == []
    monkeypatch.setattr(dead, "bury", answer_is_lost)
    with pytest.raises(RedisConnectionError):
        await in_flight.bury(redis)
    monkeypatch.undo()
    pipeline = redis.pipeline()
    for number in range(250):
        pipeline.xadd(names.dead_letters(STREAM), {"data": "{}", "abe:group": "g", "abe:id": f"1-{number}"})
    pipeline.hdel(names.records(STREAM), "let go g")  # which has the last hundred
    await pipeline.execute()
    await in_flight.bury(redis)
    assert not in_flight.has_finished
    letters: Any = await redis.xrange(names.dead_letters(STREAM))
    assert len([fields for _, fields in letters if fields[b"abe:id"].decode() == entry.id]) == 1


async def test_a_burial_waits_until_redis_is_back(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish(STREAM, {"n": 1})
        redis = (await backend.connections()).commands
        await redis.xgroup_create(STREAM, "g", "0")
        (entry,) = await lease.take_new(redis, "g", "me", [STREAM], count=1, block_ms=None)
        in_flight = InFlight(backend.settings, "g", "me", Nobody(), deque[Held]())
        assert in_flight.accept([entry._replace(deliveries=99)]) == []
        own_server.freeze()
        burying = asyncio.create_task(in_flight.bury(redis))
        await anyio.sleep(0.1)
        own_server.thaw()
        await burying
        assert not in_flight.has_finished
        assert in_flight.accept([entry._replace(deliveries=99)]) == []
        own_server.kill()
        with pytest.raises((ConnectionError, RedisConnectionError)):
            await in_flight.bury(redis)
        assert in_flight.has_finished


@pytest.mark.one_server
async def test_a_dead_workers_event_comes_after_a_lease_though_many_are_postponed(
    server: Server, redis: Redis
) -> None:
    settings = Settings(redis_url=server.url, redis_stream_lease_seconds=1)
    ran = list[int]()

    async def handle(event: Event) -> None:
        if event["n"] < 400:
            raise ValueError("429")
        ran.append(event["n"])

    async with RedisMessageQueueBackend(settings) as backend, anyio.create_task_group() as tasks:
        worker = EventWorker(backend, handle, concurrency=16, policy=lambda _, __: Retry(delay=600))
        await backend.publish_many(STREAM, [{"n": number} for number in range(400)])
        tasks.start_soon(worker.run)

        async def are_postponed() -> bool:
            return await redis.zcard(names.due(STREAM, "default")) == 400

        await until(are_postponed)
        pipeline = redis.pipeline()
        pipeline.xadd(STREAM, {"data": '{"n": 400}'})
        pipeline.xreadgroup("default", "dead", {STREAM: ">"})
        pipeline.hset(names.leases(STREAM, "default"), "dead", f"1000 {round(time.time() * 1000)}")
        await pipeline.execute()

        async def has_run() -> bool:
            return ran == [400]

        await until(has_run)
        await worker.shutdown()

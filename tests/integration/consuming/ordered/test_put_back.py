"""What is put back in the stream of an ordered worker is handled, also if it had finished it once."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event
from abe_redis.streams import manage, names
from abe_redis.worker.retry import Retry
from tests.integration.conftest import MakeBackend, pending, until
from tests.integration.consuming.ordered.logged_workers import (
    TOPIC,
    Log,
    at_work,
    publish,
    until_equal,
    until_true,
    worker,
)
from tests.integration.on_streams import now_ms

AGENT = "mcp-agent"


async def lease_for_agent(redis: Redis) -> str:
    """As the records have it for two seconds: the owner leaves alone what the agent has."""
    return f"2000 {await now_ms(redis):.0f}"


async def listed(redis: Redis) -> Any:
    return await redis.hkeys(names.pending(TOPIC, "default"))


@pytest.mark.parametrize("by", ["XGROUP DELCONSUMER", "XGROUP DESTROY"])
async def test_what_is_replayed_is_handled_though_it_was_finished_before(
    make_backend: MakeBackend, redis: Redis, by: str
) -> None:
    """Somebody removes what holds the replayed events, before or after the worker has taken them."""
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    await publish(backend, "A", *range(8))
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 8)
        await until_equal(lambda: pending(redis, TOPIC), 0)
        # What is pending is listed, and no longer noted as settled since the list before.
        await until_equal(lambda: listed(redis), [b""])
        log.ended["A"].clear()
        assert await manage.replay(redis, TOPIC, "default", "-", "+") == 8
        if by == "XGROUP DESTROY":
            await redis.xgroup_destroy(TOPIC, "default")
        else:
            await redis.xgroup_delconsumer(TOPIC, "default", "abe:replay")
        await log.all_ended("A", 8)
        await until_equal(lambda: pending(redis, TOPIC), 0)


async def test_what_an_agent_had_is_handled(make_backend: MakeBackend, redis: Redis) -> None:
    """Somebody removed the agent's consumer: nobody has finished it."""
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        pipeline = redis.pipeline(transaction=True)
        pipeline.xadd(TOPIC, {"data": b'{"type":"message","channel":"A","n":1}'})
        pipeline.xreadgroup("default", AGENT, {TOPIC: ">"})
        pipeline.hset(names.leases(TOPIC, "default"), AGENT, await lease_for_agent(redis))
        await pipeline.execute()
        await publish(backend, "A", 2)
        await until_true(lambda: 2 in log.ended["A"])
        await redis.xgroup_delconsumer(TOPIC, "default", AGENT)
        await until_true(lambda: 1 in log.ended["A"])
        await until_equal(lambda: pending(redis, TOPIC), 0)


@pytest.mark.parametrize("seconds", [0.2, 0.6])
async def test_what_an_agent_took_while_it_was_postponed_is_handled_when_nobody_has_it(
    make_backend: MakeBackend, redis: Redis, seconds: float
) -> None:
    """Whether the owner learns of it from its renewal, or when the event is due."""
    backend, log = make_backend(redis_stream_lease_seconds=1, redis_stream_max_deliveries=1000), Log()
    taken = list[Any]()

    async def handle(event: Event) -> None:
        if not taken:  # on a busy machine, it may be due before the agent has taken it
            raise ValueError
        await log(event)

    await publish(backend, "A", 0)
    async with at_work(worker(backend, handle, policy=lambda *_: Retry(delay=seconds))):
        found = await until(lambda: redis.zrange(names.due(TOPIC, "default"), 0, -1))
        pipeline = redis.pipeline(transaction=True)
        pipeline.xclaim(TOPIC, "default", AGENT, 0, found, justid=True)
        pipeline.zrem(names.due(TOPIC, "default"), *found)
        pipeline.hset(names.leases(TOPIC, "default"), AGENT, await lease_for_agent(redis))
        await pipeline.execute()
        taken.extend(found)
        await anyio.sleep(seconds + 0.6)
        await redis.xgroup_delconsumer(TOPIC, "default", AGENT)
        await log.all_ended("A", 1)
        await until_equal(lambda: pending(redis, TOPIC), 0)


async def test_a_look_takes_from_a_worker_nothing_that_it_postponed(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """Somebody removed the worker's consumer; what waits behind the event goes on waiting."""
    backend, log = make_backend(redis_stream_lease_seconds=3), Log()

    async def handle(event: Event) -> None:
        if event.deliveries == 1 and event["n"] == 0:
            raise ValueError
        await log(event)

    await publish(backend, "A", *range(3))
    async with at_work(worker(backend, handle, policy=lambda *_: Retry(delay=1.5))):
        await until_equal(lambda: redis.zcard(names.due(TOPIC, "default")), 1)
        (consumer,) = await redis.xinfo_consumers(TOPIC, "default")
        await redis.xgroup_delconsumer(TOPIC, "default", consumer["name"])
        await manage.reset(redis, TOPIC, "default", "$", force=False, dry_run=True)
        await log.all_ended("A", 3)
    assert log.ended["A"] == [0, 1, 2]

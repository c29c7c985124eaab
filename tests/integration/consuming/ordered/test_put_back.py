"""What Redis puts back without knowing whether it was finished: an ordered worker knows what it finished."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event
from abe_redis.streams import names
from abe_redis.worker.retry import Retry
from tests.integration.conftest import MakeBackend, pending
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


async def put_back(redis: Redis, *ids: bytes) -> None:
    """As when the group is made again, and no list tells that these are finished."""
    await redis.xclaim(TOPIC, "default", "abe:nobody", 0, [*ids], force=True, justid=True)


async def test_what_it_finished_is_acked_again_and_not_handled_again(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    await publish(backend, "ABC", *range(5))
    found: Any = await redis.xrange(TOPIC)
    async with at_work(worker(backend, log)):
        await log.all_ended("ABC", 5)
        await until_equal(lambda: pending(redis, TOPIC), 0)
        await put_back(redis, *(entry_id for entry_id, _ in found))
        assert await pending(redis, TOPIC) == 15
        await until_equal(lambda: pending(redis, TOPIC), 0)
    assert {channel: log.ended[channel] for channel in "ABC"} == {
        channel: [0, 1, 2, 3, 4] for channel in "ABC"
    }


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
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    failed: list[int] = []

    async def handle(event: Event) -> None:
        if not failed:
            failed.append(event["n"])
            raise ValueError
        await log(event)

    await publish(backend, "A", 0)
    async with at_work(worker(backend, handle, policy=lambda *_: Retry(delay=seconds))):
        await until_equal(lambda: redis.zcard(names.due(TOPIC, "default")), 1)
        found: Any = await redis.zrange(names.due(TOPIC, "default"), 0, -1)
        (taken,) = found
        pipeline = redis.pipeline(transaction=True)
        pipeline.xclaim(TOPIC, "default", AGENT, 0, [taken], justid=True)
        pipeline.zrem(names.due(TOPIC, "default"), taken)
        pipeline.hset(names.leases(TOPIC, "default"), AGENT, await lease_for_agent(redis))
        await pipeline.execute()
        await anyio.sleep(seconds + 0.6)
        await redis.xgroup_delconsumer(TOPIC, "default", AGENT)
        await log.all_ended("A", 1)
        await until_equal(lambda: pending(redis, TOPIC), 0)

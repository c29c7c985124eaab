"""What the renewals of an agent's leases leave to others: a person has the last word, and nothing is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis import Operations
from abe_redis.streams import names
from tests.integration.conftest import MakeBackend, log_says, take_one, until

STREAM, GROUP, LEASE_SECONDS = "slack_events", "default", 1


@asynccontextmanager
async def an_agent_has_one(make: MakeBackend, redis: Redis) -> AsyncIterator[tuple[str, str]]:
    """Its id, and the consumer that holds it, while the agent's server renews its lease."""
    backend = make(redis_stream_lease_seconds=LEASE_SECONDS)
    await backend.publish(STREAM, {"n": 1})
    agent = Operations(backend, origin="mcp")
    leased = await agent.lease(stream=STREAM, group=GROUP, count=1, create_group=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.agent_leases.run)
        (row,) = await pending(redis)
        yield leased.events[0].id, row["consumer"].decode()
        tasks.cancel_scope.cancel()


async def pending(redis: Redis) -> Any:
    return await redis.xpending_range(STREAM, GROUP, "-", "+", 9)


async def test_what_a_person_releases_stays_released(make_backend: MakeBackend, redis: Redis) -> None:
    async with an_agent_has_one(make_backend, redis) as (entry_id, consumer):
        person = Operations(make_backend(), origin="cli")
        released = await person.release(stream=STREAM, group=GROUP, ids=[entry_id], consumer=consumer)
        assert released.released == [entry_id]
        await anyio.sleep(LEASE_SECONDS)  # three renewals
        assert [row["consumer"] for row in await pending(redis)] == [b"abe:nobody"]
        await redis.xgroup_delconsumer(STREAM, GROUP, consumer)
        async with make_backend().consume(group=GROUP) as events:
            assert await take_one(events) == {"n": 1}


async def test_a_stream_that_fails_ends_no_lease_in_another(make_backend: MakeBackend, redis: Redis) -> None:
    others = "slack:others"
    backend = make_backend(redis_stream_lease_seconds=LEASE_SECONDS, redis_stream_patterns="slack*")
    agent = Operations(backend, origin="mcp")
    for group, stream in (("first", others), (GROUP, STREAM), ("last", others)):
        await backend.publish(stream, {"n": 1})
        await agent.lease(stream=stream, group=group, count=1, create_group=True)
    await redis.delete(names.records(others))
    await redis.set(names.records(others), "somebody wrote this")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.agent_leases.run)
        await anyio.sleep(2 * LEASE_SECONDS)

        async def is_renewed() -> bool:
            (row,) = await pending(redis)
            return bool(row["time_since_delivered"] < LEASE_SECONDS * 1000)

        await until(is_renewed)
        tasks.cancel_scope.cancel()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await agent.agent_leases.give_back()
    assert [row["consumer"] for row in await pending(redis)] == [b"abe:nobody"]


async def test_what_is_removed_from_an_agent_counts_as_lost(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with an_agent_has_one(make_backend, redis) as (entry_id, _):
        await redis.xdel(STREAM, entry_id)

        async def is_counted() -> bool:
            return await redis.hget(names.records(STREAM), f"lost {GROUP}") == b"1"

        await until(is_counted)
        await until(lambda: log_says(caplog, f"is gone: {entry_id}."))

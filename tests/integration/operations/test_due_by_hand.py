"""A due event that no worker has taken yet is held by nobody, also for whoever acts by hand.

Its worker had postponed it under a long lease, and is paused, or has no handler free.
"""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.operations.burying import bury
from abe_redis.operations.scope import Scope
from abe_redis.streams import consumers
from abe_redis.streams.release import postpone
from tests.integration.agents import GROUP, TOPIC
from tests.integration.conftest import MakeBackend
from tests.integration.operations.agents import agent, fill

__all__ = ["agent"]

WORKER = "worker@there"


@pytest.fixture
async def due(agent: Operations, redis: Redis) -> str:
    """The id of an event that a worker with a lease of ten minutes had, and that is due."""
    (entry_id,) = await fill(agent, 1)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, WORKER, {TOPIC: ">"})
    await consumers.note_alive(redis, GROUP, WORKER, [TOPIC], lease_seconds=600)
    await postpone(redis, TOPIC, GROUP, WORKER, entry_id, delay_seconds=0.01, reason="too early")
    await anyio.sleep(0.05)
    return entry_id


@pytest.fixture
def person(make_backend: MakeBackend) -> Operations:
    return Operations(make_backend(), origin="cli")


@pytest.mark.parametrize("consumer", [None, WORKER])
async def test_a_person_acknowledges_it(person: Operations, due: str, consumer: str | None) -> None:
    done = await person.ack(stream=TOPIC, group=GROUP, ids=[due], consumer=consumer, force=True)
    assert (done.acked, done.not_held) == ([due], [])


@pytest.mark.parametrize("delay", [0, 600])
async def test_a_person_releases_it(person: Operations, due: str, delay: float, redis: Redis) -> None:
    done = await person.release(stream=TOPIC, group=GROUP, ids=[due], delay_seconds=delay)
    assert (done.released, done.not_held) == ([due], [])
    (row,) = await redis.xpending_range(TOPIC, GROUP, "-", "+", 1)
    assert row["times_delivered"] == 1, "the worker's"


async def test_a_person_buries_it(make_backend: MakeBackend, due: str) -> None:
    scope = Scope(make_backend(), origin="cli")
    done = await bury(scope, "cli-ann@here", due, stream=TOPIC, group=GROUP, reason="spam")
    assert done.buried == [due]


async def test_an_agent_leases_it_by_its_id(agent: Operations, due: str) -> None:
    (event,) = (await agent.lease(group=GROUP, ids=[due])).events
    assert (event.id, event.deliveries) == (due, 2)


async def test_an_agent_leases_it_by_what_it_is(agent: Operations, due: str) -> None:
    (event,) = (await agent.lease(group=GROUP, event_type="message")).events
    assert (event.id, event.deliveries) == (due, 2)


async def test_what_is_not_due_yet_is_taken_by_its_id_alone(agent: Operations, redis: Redis) -> None:
    (entry_id,) = await fill(agent, 1)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, WORKER, {TOPIC: ">"})
    await postpone(redis, TOPIC, GROUP, WORKER, entry_id, delay_seconds=600)
    assert (await agent.lease(group=GROUP, event_type="message")).events == []
    assert (await agent.lease(group=GROUP, ids=[entry_id])).events[0].id == entry_id

"""An agent that looks at a postponed event and gives it back hastens nothing."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.operations.operations import Operations
from abe_redis.schemas import EventView
from abe_redis.streams import names
from tests.integration.agents import GROUP, TOPIC, said
from tests.integration.conftest import MakeBackend

DELAY = 3600.0


async def due(redis: Redis, entry_id: str) -> float:
    """When it is due, in seconds; 0 when it is not postponed."""
    return float(await redis.zscore(names.due(TOPIC, GROUP), entry_id) or 0) / 1000


async def deliveries(redis: Redis) -> int:
    rows: Any = await redis.xpending_range(TOPIC, GROUP, "-", "+", 10)
    return int(rows[0]["times_delivered"])


async def postponed(person: Operations) -> EventView:
    """An event that a person has postponed."""
    await person.publish_event(said(1))
    (event,) = (await person.lease(group=GROUP, create_group=True)).events
    await person.release(stream=TOPIC, group=GROUP, ids=[event.id], delay_seconds=DELAY)
    return event


@pytest.mark.parametrize("how", ["release", "release all", "the session ends", "not shown", "twice"])
async def test_what_an_agent_leases_out_of_its_delay_goes_back_to_it(
    how: str, make_backend: MakeBackend, redis: Redis
) -> None:
    person, agent = Operations(make_backend(), origin="cli"), Operations(make_backend(), origin="mcp")
    event = await postponed(person)
    at, before = await due(redis, event.id), await deliveries(redis)
    for _ in range(2 if how == "twice" else 1):
        leased = await agent.lease(group=GROUP, ids=[event.id])
        assert len(leased.events) == 1
        assert await due(redis, event.id) == 0
        if how == "the session ends":
            await agent.agent_leases.give_back()
        elif how == "not shown":
            await agent.take_back(leased, group=GROUP, ids=[event.id], consumer=None)
        else:
            back = await agent.release(ids=None if how == "release all" else [event.id])
            assert back.released == back.still_postponed == [event.id]
    assert abs(await due(redis, event.id) - at) < DELAY / 10
    assert await deliveries(redis) == before
    assert (await agent.lease(group=GROUP)).events == []
    (again,) = (await agent.lease(group=GROUP, ids=[event.id])).events
    await agent.release(ids=[again.id], delay_seconds=DELAY * 2)  # nobody else works there
    assert await due(redis, event.id) > at + DELAY / 2, "another delay that is asked for is another one"


async def test_a_person_can_say_that_it_comes_at_once(make_backend: MakeBackend, redis: Redis) -> None:
    person = Operations(make_backend(), origin="cli")
    event = await postponed(person)
    await person.lease(group=GROUP, ids=[event.id])
    back = await person.release(stream=TOPIC, group=GROUP, ids=[event.id])
    assert (back.released, back.still_postponed) == ([event.id], [])
    assert await due(redis, event.id) == 0


@pytest.mark.parametrize("delay", [0, 0.001, DELAY / 2])
async def test_no_agent_hastens_what_another_one_postponed(
    delay: float, make_backend: MakeBackend, redis: Redis
) -> None:
    first, second = (Operations(make_backend(), origin="mcp") for _ in range(2))
    await first.publish_event(said(1))
    (event,) = (await first.lease(group=GROUP)).events
    await first.release(ids=[event.id], delay_seconds=DELAY, reason="rate limited")
    at = await due(redis, event.id)
    await second.lease(group=GROUP, ids=[event.id])
    back = await second.release(ids=[event.id], delay_seconds=delay, reason="not mine")
    assert back.released == back.still_postponed == [event.id]
    assert abs(await due(redis, event.id) - at) < DELAY / 10
    (listed,) = (await second.waiting(group=GROUP)).events
    assert listed.reason == f"{first.consumer} says: rate limited"


@pytest.mark.parametrize("how", ["release", "the session ends", "not shown"])
async def test_who_postponed_an_event_and_why_outlives_a_look(
    how: str, make_backend: MakeBackend, redis: Redis
) -> None:
    person, agent = Operations(make_backend(), origin="cli"), Operations(make_backend(), origin="mcp")
    await person.publish_event(said(1))
    (event,) = (await person.lease(group=GROUP, create_group=True)).events
    place: dict[str, Any] = {"stream": TOPIC, "group": GROUP}
    await person.release(**place, ids=[event.id], delay_seconds=DELAY, reason="wait for the audit")
    for _ in range(2):
        leased = await agent.lease(group=GROUP, ids=[event.id])
        if how == "the session ends":
            await agent.agent_leases.give_back()
        elif how == "not shown":
            await agent.take_back(leased, group=GROUP, ids=[event.id], consumer=None)
        else:
            await agent.release(ids=[event.id])
        (listed,) = (await agent.waiting(group=GROUP)).events
        assert listed.reason == f"{person.consumer} says: wait for the audit"
    leased = await agent.lease(group=GROUP, ids=[event.id])
    await agent.release(ids=[event.id], delay_seconds=DELAY * 2, reason="later still")
    (listed,) = (await agent.waiting(group=GROUP)).events
    assert listed.reason == f"{agent.consumer} says: later still", "another delay has another reason"


@pytest.mark.parametrize("how", ["release", "postpone", "the session ends", "not shown", "question"])
async def test_what_a_person_releases_from_an_agent_is_hastened(
    how: str, make_backend: MakeBackend, redis: Redis
) -> None:
    """Also while the agent does not know of it yet."""
    person, agent = Operations(make_backend(), origin="cli"), Operations(make_backend(), origin="mcp")
    event = await postponed(person)
    leased = await agent.lease(group=GROUP, ids=[event.id])
    back = await person.release(stream=TOPIC, group=GROUP, ids=[event.id], consumer=agent.consumer)
    assert back.released == [event.id]
    if how == "the session ends":
        await agent.agent_leases.give_back()
    elif how == "not shown":
        await agent.take_back(leased, group=GROUP, ids=[event.id], consumer=None)
    elif how == "question":
        (concerned,) = await agent.concerned(stream=TOPIC, group=GROUP, ids=[event.id])
        assert concerned.held == [event.id], "it may settle it, as long as nobody has it"
    else:
        delay = DELAY if how == "postpone" else 0
        refused = await agent.release(stream=TOPIC, group=GROUP, ids=[event.id], delay_seconds=delay)
        assert (refused.released, refused.not_held) == ([], [event.id])
    (row,) = await redis.xpending_range(TOPIC, GROUP, "-", "+", 10)
    assert row["consumer"] == names.NOBODY
    assert await due(redis, event.id) == 0
    assert [one.id for one in (await person.lease(group=GROUP)).events] == [event.id]

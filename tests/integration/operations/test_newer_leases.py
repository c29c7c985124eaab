"""What is done about an old lease leaves a newer one of the same event alone."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.operations import settlement
from abe_redis.schemas import ReadResult
from abe_redis.streams import release, renewal
from abe_redis.streams.release import postpone
from tests.integration.agents import GROUP, TOPIC, said
from tests.integration.conftest import MakeBackend

type Settle = Callable[[Operations, str], Awaitable[Any]]

SETTLE: dict[str, Settle] = {
    "release": lambda agent, _: agent.release(),
    "release by id": lambda agent, one: agent.release(stream=TOPIC, group=GROUP, ids=[one]),
    "postponed": lambda agent, one: agent.release(stream=TOPIC, group=GROUP, ids=[one], delay_seconds=60),
    "the session ended": lambda agent, _: agent.agent_leases.give_back(),
}


async def holder(redis: Redis) -> tuple[Any, Any]:
    """Who holds the only event, and how often it counts as delivered."""
    (row,) = await redis.xpending_range(TOPIC, GROUP, "-", "+", 10)
    return row["consumer"], row["times_delivered"]


async def leased(agent: Operations, entry_id: str) -> ReadResult:
    result = await agent.lease(group=GROUP, ids=[entry_id], create_group=True)
    assert [one.id for one in result.events] == [entry_id]
    return result


@pytest.fixture
async def agent(make_backend: MakeBackend) -> Operations:
    return Operations(make_backend(), origin="mcp")


@pytest.fixture
async def only(agent: Operations) -> str:
    return (await agent.publish_event(said(1))).id


@pytest.mark.parametrize("settle", SETTLE.values(), ids=SETTLE)
async def test_a_late_cancel_of_an_earlier_call_leaves_a_newer_lease_alone(
    agent: Operations, only: str, redis: Redis, settle: Settle
) -> None:
    first = await leased(agent, only)
    await settle(agent, only)
    second = await leased(agent, only)
    before = await holder(redis)
    await agent.take_back(first, group=GROUP, ids=[only], consumer=None)
    assert await holder(redis) == before
    assert agent.agent_leases.held(agent.consumer) == [(TOPIC, only)]
    await agent.take_back(second, group=GROUP, ids=[only], consumer=None)
    assert agent.agent_leases.held(agent.consumer) == []


async def test_what_was_leased_anew_while_others_are_released_stays_kept(
    agent: Operations, only: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may call tools side by side, and one call may release many events, one by one."""
    other = (await agent.publish_event(said(2))).id
    await leased(agent, only)
    await leased(agent, other)

    async def then_lease(*given: Any, **how: Any) -> str:
        done = await postpone(*given, **how)
        if given[4] == only:
            await leased(agent, only)
        return done

    monkeypatch.setattr(settlement, "postpone", then_lease)
    await agent.release(stream=TOPIC, group=GROUP, ids=[only, other])
    assert agent.agent_leases.held(agent.consumer) == [(TOPIC, only)]
    assert (await agent.ack()).acked == [only]


async def test_a_renewal_that_misses_an_old_lease_keeps_the_newer_one(
    agent: Operations, only: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leased(agent, only)

    async def before_it_is_leased_anew(*_: Any) -> set[tuple[str, str]]:
        await agent.release()
        await leased(agent, only)
        return {(TOPIC, only)}

    monkeypatch.setattr(renewal, "renew", before_it_is_leased_anew)
    await agent.agent_leases._renew()
    assert agent.agent_leases.held(agent.consumer) == [(TOPIC, only)]


async def test_a_lease_waits_until_what_nobody_heard_of_is_given_back(
    agent: Operations, only: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await leased(agent, only)
    begun, goes_on, give_back = anyio.Event(), anyio.Event(), release.release

    async def slowly(*given: Any, **how: Any) -> Any:
        begun.set()
        await goes_on.wait()
        return await give_back(*given, **how)

    monkeypatch.setattr(release, "release", slowly)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: agent.take_back(first, group=GROUP, ids=[only], consumer=None))
        await begun.wait()
        tasks.start_soon(leased, agent, only)
        await anyio.sleep(0.05)
        goes_on.set()
    assert agent.agent_leases.held(agent.consumer) == [(TOPIC, only)]
    assert (await holder(redis))[0] != b"abe:nobody"

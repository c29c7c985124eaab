"""An agent makes several calls at once, and its server gives back while another call goes on."""

from typing import Any
from unittest.mock import patch

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.operations import leasing
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import release, renewal
from abe_redis.streams.manage import is_paused
from tests.integration.conftest import MakeBackend, until

TOPIC, GROUP = "slack_events", "agents"


@pytest.fixture
def backend(make_backend: MakeBackend) -> RedisMessageQueueBackend:
    return make_backend()


@pytest.fixture
def agent(backend: RedisMessageQueueBackend) -> Operations:
    return Operations(backend, origin="mcp")


async def holder(redis: Redis, entry_id: str) -> str:
    """The consumer under whose name an entry is pending."""
    rows: Any = await redis.xpending_range(TOPIC, GROUP, entry_id, entry_id, 1)
    return str(rows[0]["consumer"].decode())


async def publish(agent: Operations, number: int) -> str:
    return (await agent.publish_event({"type": "message", "n": number})).id


async def waits_for_an_event(redis: Redis) -> bool:
    clients: Any = await redis.client_list()
    return any(client["cmd"] == "xreadgroup" and "b" in client["flags"] for client in clients)


@pytest.mark.one_server
async def test_what_one_call_is_given_stays_when_another_one_is_cancelled(
    agent: Operations, redis: Redis
) -> None:
    """To the call that ends, what Redis gave the other one looks like an answer of its own that was lost."""
    only = await publish(agent, 1)
    is_given, other_ended = anyio.Event(), anyio.Event()

    async def wait_here(*arguments: Any) -> Any:
        is_given.set()
        await other_ended.wait()

    results = []

    async def take() -> None:
        results.append(await agent.lease(stream=TOPIC, group=GROUP))

    async with anyio.create_task_group() as tasks:
        with patch.object(leasing, "record_progress", wait_here):
            tasks.start_soon(take)
            await is_given.wait()
            async with anyio.create_task_group() as others:
                others.start_soon(lambda: agent.lease(stream=TOPIC, group=GROUP, wait_seconds=20))
                await until(lambda: waits_for_an_event(redis))
                others.cancel_scope.cancel()
            other_ended.set()
    assert [event.id for event in results[0].events] == [only]
    assert await holder(redis, only) == agent.consumer
    assert (await agent.ack(stream=TOPIC, group=GROUP, ids=[only])).acked == [only]


async def test_what_is_leased_while_a_quiet_agent_gives_back_stays_with_it(agent: Operations) -> None:
    first, second = await publish(agent, 1), await publish(agent, 2)
    await agent.lease(stream=TOPIC, group=GROUP, ids=[first])
    give = release.release

    async def give_and_lease(*arguments: Any, **options: Any) -> int:
        given = await give(*arguments, **options)
        await agent.lease(stream=TOPIC, group=GROUP, ids=[first, second])
        return given

    with patch.object(release, "release", give_and_lease):
        await agent.agent_leases.give_back()
    assert {kept.id for kept in agent.agent_leases.every()} == {first, second}
    await agent.agent_leases.give_back()
    assert agent.agent_leases.every() == []


async def test_leases_may_be_given_back_while_they_are_renewed(agent: Operations) -> None:
    """As when a signal ends the server in that moment."""
    await publish(agent, 1)
    await agent.lease(stream=TOPIC, group=GROUP)
    renew, is_over = renewal.renew, anyio.Event()

    async def renew_and_give_back(*arguments: Any) -> Any:
        lost = await renew(*arguments)
        await agent.agent_leases.give_back()
        is_over.set()
        return lost

    agent.agent_leases._lease_seconds = 0.03
    with patch.object(renewal, "renew", renew_and_give_back):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.agent_leases.run)
            await is_over.wait()
            await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()
    assert agent.agent_leases.every() == []


@pytest.mark.one_server
async def test_a_call_that_waits_takes_nothing_when_the_group_is_paused(
    agent: Operations, backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "_LOOK_SECONDS", 0.05)
    await agent.lease(stream=TOPIC, group=GROUP, ids=[await publish(agent, 1)])
    results, looks = [], list[bool]()

    async def look(*arguments: Any) -> bool:
        looks.append(await is_paused(*arguments))
        return looks[-1]

    async def wait() -> None:
        results.append(await agent.lease(stream=TOPIC, group=GROUP, wait_seconds=20))

    async def has_seen_it() -> bool:
        return True in looks

    with patch.object(leasing, "is_paused", look):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await until(lambda: waits_for_an_event(redis))
            await Groups(Scope(backend)).pause(TOPIC, GROUP)
            await until(has_seen_it)
            await publish(agent, 2)
    assert results[0].events == []
    summary: Any = await redis.xpending(TOPIC, GROUP)
    assert summary["pending"] == 1

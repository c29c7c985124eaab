"""What a client leaves that is killed: its events come back, and none is buried for it."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.mcp.permissions import Permissions
from abe_redis.streams.owners import Owner, load, own
from abe_redis.streams.reclaim import reclaim
from tests.integration.agents import GROUP, TOPIC, Ask, asking, said, server
from tests.integration.conftest import MakeBackend, take_one

DEAD = "dead:{slack_events}"
MOST = 2
"""Deliveries after which an event is poison."""


def agent(make_backend: MakeBackend) -> Ask:
    return asking(server(make_backend(redis_stream_max_deliveries=MOST), Permissions(structured=True)))


async def lease(ask: Ask, *, ids: list[str] | None = None) -> list[str]:
    answer = await ask("lease_events", group=GROUP, **({} if ids is None else {"ids": ids}))
    return [event["id"] for event in answer.structuredContent["events"]]


async def run_out(redis: Redis) -> str:
    """Let the lease be over, as when its holder was killed a while ago; return whose it was."""
    rows: Any = await redis.xpending_range(TOPIC, GROUP, "-", "+", 10)
    (row,) = rows
    holder: str = row["consumer"].decode()
    await redis.xclaim(TOPIC, GROUP, holder, 0, [row["message_id"]], idle=10_000_000, justid=True)
    return holder


@pytest.mark.promise("nor does one that ends because the agent's process was killed")
@pytest.mark.parametrize("chosen", [False, True], ids=["oldest", "chosen"])
async def test_no_event_is_buried_since_agents_were_killed(
    make_backend: MakeBackend, redis: Redis, chosen: bool
) -> None:
    event = await make_backend().publish_event(TOPIC, said(1))
    for _ in range(MOST + 3):
        given = await lease(agent(make_backend), ids=[event.id] if chosen else None)
        assert given == [event.id]
        assert (await run_out(redis)).startswith("mcp-")
    assert await redis.xlen(DEAD) == 0


async def test_no_event_is_buried_since_people_looked_at_it_and_left(
    make_backend: MakeBackend, redis: Redis
) -> None:
    event = await make_backend().publish_event(TOPIC, said(1))
    for _ in range(MOST + 1):
        person = Operations(make_backend(), origin="cli")
        leased = await person.lease(stream=TOPIC, group=GROUP, count=1, create_group=True)
        assert [one.id for one in leased.events] == [event.id]
        assert (await run_out(redis)).startswith("cli-")
    async with make_backend(redis_stream_max_deliveries=1).consume(group=GROUP) as events:
        assert await take_one(events) == said(1)
    assert await redis.xlen(DEAD) == 0


async def test_workers_that_were_killed_count_all_the_same(make_backend: MakeBackend, redis: Redis) -> None:
    event = await make_backend().publish_event(TOPIC, said(1))
    await redis.xgroup_create(TOPIC, GROUP, "0")
    commands: Any = (await make_backend().connections()).commands
    await redis.xreadgroup(GROUP, "worker", {TOPIC: ">"}, count=1)
    await run_out(redis)
    assert await lease(agent(make_backend)) == [event.id]
    await run_out(redis)
    (again,), _ = await reclaim(commands, GROUP, "worker", [TOPIC], lease_seconds=60, count=1)
    assert again.deliveries == MOST
    await run_out(redis)
    (again,), _ = await reclaim(commands, GROUP, "worker", [TOPIC], lease_seconds=60, count=1)
    assert again.deliveries == MOST + 1, "it is poison, as two workers say"


async def test_an_owner_counts_no_agent_either(make_backend: MakeBackend, redis: Redis) -> None:
    await make_backend().publish_event(TOPIC, said(1))
    assert len(await lease(agent(make_backend))) == 1
    await run_out(redis)
    commands: Any = (await make_backend().connections()).commands
    owner = Owner(GROUP, "worker", "token", 60.0)
    await own(commands, owner, [TOPIC])
    loaded = await load(commands, owner, TOPIC)
    assert loaded is not None
    assert [entry.deliveries for entry, _ in loaded.entries] == [1]

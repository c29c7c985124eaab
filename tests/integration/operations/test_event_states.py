"""What every door says of one event: whether anybody holds it, and how far a group is with it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import consumers
from tests.command_line import run_command
from tests.integration.agents import GROUP, TOPIC, Ask, text_of
from tests.integration.conftest import MakeBackend
from tests.integration.operations.agents import agent, fill

__all__ = ["agent"]


@pytest.fixture
async def over(agent: Operations, redis: Redis) -> str:
    """The id of an event that a person leased 6 minutes ago, for one."""
    (entry_id,) = await fill(agent, 1)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "cli-ann@here", {TOPIC: ">"})
    await consumers.note_alive(redis, GROUP, "cli-ann@here", [TOPIC], lease_seconds=60)
    await redis.xclaim(TOPIC, GROUP, "cli-ann@here", 0, [entry_id], idle=360_000, justid=True)
    return entry_id


async def views(operations: Operations) -> list[Any]:
    return [
        (await operations.waiting(group=GROUP)).events[0],
        (await operations.pending(group=GROUP)).events[0],
        (await operations.find_event("Ev0")).handled[0],
    ]


async def test_an_event_whose_lease_is_over_is_held_by_nobody(agent: Operations, over: str) -> None:
    for one in await views(agent):
        assert (one.state, one.had_by, one.left_by, one.yours) == ("waiting", "cli-ann@here", None, False)
        assert (one.held_seconds, one.deliveries) == (None, 0), "no handler has begun it"
        assert timedelta(minutes=4) < datetime.now(UTC) - one.free_at < timedelta(minutes=7)
    assert (await agent.lease(group=GROUP, event_type="message")).events[0].id == over, "as it was said"


async def test_a_lease_lasts_as_long_as_its_holder_says(
    agent: Operations, over: str, redis: Redis, make_backend: MakeBackend
) -> None:
    await redis.xclaim(TOPIC, GROUP, "cli-ann@here", 0, [over], idle=50_000, justid=True)
    person = Operations(make_backend(redis_stream_lease_seconds=1), origin="cli")
    for one in await views(person):
        assert (one.state, one.consumer, one.had_by) == ("held", "cli-ann@here", None)
    found = await agent.lease(group=GROUP, event_type="message")
    assert found.events == []


async def test_that_of_a_consumer_that_says_nothing_lasts_as_long_as_those_of_who_looks(
    agent: Operations, redis: Redis, make_backend: MakeBackend
) -> None:
    (entry_id,) = await fill(agent, 1)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "another-program", {TOPIC: ">"})
    await redis.xclaim(TOPIC, GROUP, "another-program", 0, [entry_id], idle=50_000, justid=True)
    for seconds, state in ((40, "waiting"), (60, "held")):
        operations = Operations(make_backend(redis_stream_lease_seconds=seconds), origin="cli")
        assert [one.state for one in await views(operations)] == [state] * 3
        assert [one.deliveries for one in await views(operations)] == [1] * 3, "its handler may have begun it"


@pytest.mark.usefixtures("over")
async def test_every_door_says_the_same_of_it(
    ask: Ask, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    for options in (("--waiting",), ("--pending", "--group", GROUP), ("--event-id", "Ev0")):
        shown = run_command("read", TOPIC, *options).stdout
        assert "lease of cli-ann@here over since 5 min, free: the next consumer gets it" in shown
    for how in ({"pending": True, "group": GROUP}, {"waiting": True}, {"event_id": "Ev0"}):
        said = text_of(await ask("read_stream", stream=TOPIC, **how))
        assert 'lease of "cli-ann@here" over since 5 min, free: the next consumer gets it' in said


async def test_what_a_lease_answers_is_the_callers(
    agent: Operations, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    await fill(agent, 2)
    told = json.loads(
        run_command("read", TOPIC, "--group", GROUP, "--create-group", "-n", "1", "--json").stdout
    )
    (leased,) = told["events"]
    assert (leased["state"], leased["yours"], leased["held_seconds"]) == ("held", True, 0)
    waiting = json.loads(run_command("read", TOPIC, "--group", GROUP, "--waiting", "--json").stdout)["events"]
    assert [one["yours"] for one in waiting] == [True, False]
    (by_agent,) = (await agent.lease(group=GROUP)).events
    assert (by_agent.state, by_agent.yours) == ("held", True)


async def state(agent: Operations, event: int, group: str) -> str:
    found = await agent.find_event(f"Ev{event}")
    return next(one.state for one in found.handled if one.group == group)


async def test_a_group_that_was_made_behind_an_event_has_not_done_it(
    agent: Operations, make_backend: MakeBackend
) -> None:
    await fill(agent, 1)
    groups = Groups(Scope(make_backend(), origin="cli"))
    for name, start in (("late", "now"), ("first", "beginning")):
        await groups.create(TOPIC, name, start=start)
    await agent.publish_event({"event_id": "Ev1"})
    for name in ("late", "first"):
        leased = await agent.lease(group=name)
        await agent.ack(stream=TOPIC, group=name, ids=[one.id for one in leased.events])
    assert [await state(agent, number, "late") for number in range(2)] == ["skipped", "done"]
    assert [await state(agent, number, "first") for number in range(2)] == ["done", "done"]
    await groups.reset(TOPIC, "late", start="beginning", force=True)
    assert await state(agent, 0, "late") == "undelivered"
    leased = await agent.lease(group="late", count=1)
    await agent.ack(stream=TOPIC, group="late", ids=[leased.events[0].id])
    assert [await state(agent, number, "late") for number in range(2)] == ["done", "undelivered"]
    await groups.reset(TOPIC, "late", start="now", force=True)
    assert [await state(agent, number, "late") for number in range(2)] == ["passed", "passed"]


async def test_the_group_of_a_worker_has_begun_at_the_beginning(
    agent: Operations, make_backend: MakeBackend, redis: Redis
) -> None:
    ids = await fill(agent, 1)
    async with make_backend().consume(group="bot") as events:
        async for event in events:
            if event.id != ids[0]:
                break
            await agent.publish_event({"event_id": "Ev1"})
    assert await state(agent, 0, "bot") == "done"
    await redis.xgroup_create(TOPIC, "hand", "$")
    assert await state(agent, 0, "hand") == "passed", "nobody knows where it began"


async def test_an_erased_event_is_not_called_done(
    agent: Operations,
    ask: Ask,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    redis: Redis,
    make_backend: MakeBackend,
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    await fill(agent, 3)
    for name in ("begun", "young"):
        await redis.xgroup_create(TOPIC, name, "0")
    await Groups(Scope(make_backend(), origin="cli")).create(TOPIC, "late", start="now")
    await agent.lease(group="begun", count=3)
    assert run_command("erase", "--user", "U1", "--yes").returncode == 0
    found = await agent.find_event("Ev1")
    states = {one.group: one.state for one in found.handled}
    assert states == {"begun": "gone", "young": "gone", "late": "skipped"}
    assert "somebody erased it, whether it was finished or not" in found.note
    said = text_of(await ask("read_stream", event_id="Ev1"))
    assert 'Group "young": does not have it: it finished it, or it was removed before that.' in said
    assert "lease_events" not in said
    assert "done" not in run_command("read", "--event-id", "Ev1").stdout
    assert 'lease_events(stream="slack_events", group="young"' in text_of(
        await ask("read_stream", event_id="Ev2")
    )

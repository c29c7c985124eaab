"""Answers that say what an agent would otherwise have to guess."""

import json
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import EventWorker, RedisMessageQueueBackend
from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.questions import Questions
from abe_redis.mcp.sdk_line import SDK_2
from abe_redis.operations.groups import Groups
from abe_redis.operations.operations import Operations
from abe_redis.operations.scope import Scope
from abe_redis.streams import dead_fields, manage, names
from tests.integration.agents import GROUP, TOPIC, Ask, asking, refusal, said, server, text_of
from tests.integration.conftest import MakeBackend
from tests.patience import PATIENCE

LEASE_SECONDS = 1
LEASES = names.leases(TOPIC, "bot")
LASTS = f"{1000 * PATIENCE:.0f} 1"
"""What a consumer has recorded there whose lease no slow machine outlasts."""


async def published(ask: Ask, count: int) -> list[str]:
    answers = [await ask("publish_event", payload=said(number)) for number in range(count)]
    return [answer.structuredContent["id"] for answer in answers]


# A lease that a limit cuts short --------------------------------------------------------------------------


@pytest.mark.promise("A lease that they cut short says so.")
async def test_a_lease_that_a_limit_cuts_short_says_so(
    backend: RedisMessageQueueBackend,
) -> None:
    ask = asking(server(backend, Permissions(events_per_minute=8)))
    await published(ask, 5)  # which leaves 3
    cut = text_of(await ask("lease_events", group=GROUP, count=5))
    assert "3 events" in cut
    assert "No more than 3 of the 5 were taken: agents take, publish and redrive 8 events a minute" in cut
    assert "(--events-per-minute)" in cut


async def test_a_lease_by_ids_says_how_many_of_them_were_left_out(backend: RedisMessageQueueBackend) -> None:
    ids = await published(asking(server(backend)), 3)
    ask = asking(server(backend, Permissions(events_per_minute=2)))
    assert "No more than 2 of the 3 were taken" in text_of(await ask("lease_events", group=GROUP, ids=ids))


async def test_a_lease_that_no_limit_cuts_says_nothing_of_it(backend: RedisMessageQueueBackend) -> None:
    ask = asking(server(backend, Permissions(events_per_minute=8)))
    await published(ask, 2)
    assert "were taken" not in text_of(await ask("lease_events", group=GROUP, count=10)), "there were only 2"


# Who else works in a group --------------------------------------------------------------------------------


async def question(backend: RedisMessageQueueBackend) -> str:
    permissions = Permissions()
    operations = Operations(backend, origin="mcp", limits=permissions)

    async def give() -> Operations:
        return operations

    await operations.lease(group="bot", count=1)
    asked = await Questions(give).before_ack({})
    return "" if asked is None else asked.words


async def test_a_worker_that_is_gone_is_not_named_as_one_that_works(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_lease_seconds=LEASE_SECONDS)
    for number in range(4):
        await redis.xadd(TOPIC, {"data": "{}"}, id=f"{number + 1}-0")
    await redis.xgroup_create(TOPIC, "bot", "0")
    await redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=1)
    await anyio.sleep(1.2 * LEASE_SECONDS)
    assert "whose workers are silent now (worker-1)?" in await question(backend), "it may come back"
    await redis.hset(LEASES, "worker-2", LASTS)
    await redis.xreadgroup("bot", "worker-2", {TOPIC: ">"}, count=1)
    assert "where others work, too (worker-2)?" in await question(backend)


async def test_a_persons_shell_is_not_called_a_worker(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_lease_seconds=LEASE_SECONDS)
    for number in range(4):
        await redis.xadd(TOPIC, {"data": "{}"}, id=f"{number + 1}-0")
    await redis.xgroup_create(TOPIC, "bot", "0")
    await redis.hset(LEASES, "cli-ann@host", LASTS)
    await redis.xreadgroup("bot", "cli-ann@host", {TOPIC: ">"}, count=1)
    assert 'where others work, too ("cli-ann@host")?' in await question(backend)
    await redis.hdel(LEASES, "cli-ann@host")
    await anyio.sleep(1.2 * LEASE_SECONDS)
    assert not await question(backend), "what a person once leased is no work of others"
    await redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=1)
    await anyio.sleep(1.2 * LEASE_SECONDS)
    assert "whose workers are silent now (worker-1)?" in await question(backend)


async def work_once(backend: RedisMessageQueueBackend, group: str) -> None:
    """Let a worker of a group handle an event and end in order."""
    handled = anyio.Event()

    async def handle(_: object) -> None:
        handled.set()

    worker = EventWorker(backend, handle, group=group)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await handled.wait()
        await worker.shutdown()


async def needs_an_agreement(ask: Ask, what: dict[str, Any]) -> None:
    """Finishing and postponing these events is refused without one, and finishing works with it."""
    for tool, more in (("ack", {}), ("release", {"delay_seconds": 9})):
        assert "this needs the user's agreement" in await refusal(ask, tool, **what, **more)
    assert (await ask("ack", **what, confirm=True)).structuredContent["acked"] == what["ids"]


@pytest.mark.promise("so do finishing and postponing in a group that has workers, or ever had")
async def test_the_work_of_workers_that_were_stopped_in_order_needs_an_agreement(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    ask = asking(server(backend))
    await published(ask, 1)
    await work_once(backend, "bot")
    for consumer in await redis.xinfo_consumers(TOPIC, "bot"):  # which others remove in time
        await redis.xgroup_delconsumer(TOPIC, "bot", consumer["name"])
    _, _, waits = await published(ask, 3)  # the first of which is there already
    assert "of slack_events: 1 for bot, whose workers are away now?" in await question(backend)
    await ask("lease_events", group="bot", ids=[waits])
    what: dict[str, Any] = {"stream": TOPIC, "group": "bot", "ids": [waits]}
    await needs_an_agreement(ask, what)


async def test_so_does_the_work_in_a_stream_that_the_workers_have_not_reached_yet(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    """The group there is new, and the agent may have made it."""
    ask = asking(server(backend))
    await published(ask, 1)
    await work_once(backend, "default")
    await redis.xadd("slack:new", {"data": "{}"})
    leased = await ask("lease_events", stream="slack:new", group="default", create_group=True)
    (event,) = leased.structuredContent["events"]
    what: dict[str, Any] = {"stream": "slack:new", "group": "default", "ids": [event["id"]]}
    await needs_an_agreement(ask, what)


async def test_so_does_the_work_in_a_group_that_a_person_removed_until_a_person_makes_it(
    backend: RedisMessageQueueBackend, commands: Redis
) -> None:
    """The agent that makes it anew works in the workers' group."""
    ask, groups = asking(server(backend)), Groups(Scope(backend, origin="cli"))
    await published(ask, 1)
    await work_once(backend, "default")
    for others in range(3):
        await manage.create(commands, TOPIC, f"other-{others}", "$")
        await groups.remove(TOPIC, f"other-{others}", force=True)
    await groups.remove(TOPIC, "default", force=True)
    leased = await ask("lease_events", group="default", create_group=True)
    (event,) = leased.structuredContent["events"]
    what: dict[str, Any] = {"stream": TOPIC, "group": "default", "ids": [event["id"]]}
    await needs_an_agreement(ask, what)
    await groups.remove(TOPIC, "default", force=True)
    await groups.create(TOPIC, "default")
    (event,) = (await ask("lease_events", group="default")).structuredContent["events"]
    assert (await ask("ack")).structuredContent["acked"] == [event["id"]], "it is the person's choice"


@pytest.mark.promise("After a refusal it counts for the events that the refusal named")
async def test_an_agreement_without_a_question_covers_what_the_refusal_named(
    backend: RedisMessageQueueBackend,
) -> None:
    """The client cannot ask, so its user was asked about what the refusal said, and about no later event."""
    ask = asking(server(backend))
    await published(ask, 1)
    await work_once(backend, "bot")
    _, first, second, third = await published(ask, 4)
    await ask("lease_events", group="bot", ids=[first])
    refused = await refusal(ask, "ack")
    assert refused.startswith("Nothing was done: this needs the user's agreement. Acknowledge events, 1 of ")
    assert first in refused
    await ask("lease_events", group="bot", ids=[second])
    agreed = await ask("ack", ids=[first, second], confirm=True)
    assert agreed.structuredContent["acked"] == [first]
    assert second in await refusal(ask, "ack")
    await ask("release", stream=TOPIC, group="bot", ids=[second])
    await ask("lease_events", group="bot", ids=[third])
    assert third in await refusal(ask, "ack", confirm=True), "of these events it named none"
    assert (await ask("ack", confirm=True)).structuredContent["acked"] == [third]


@pytest.mark.promise("After a refusal it counts for the events that the refusal named")
@pytest.mark.parametrize("other", [("slack:b", "bot"), (TOPIC, "archive")], ids=["stream", "group"])
async def test_an_agreement_is_about_no_event_of_another_stream_or_group(
    backend: RedisMessageQueueBackend, redis: Redis, other: tuple[str, str]
) -> None:
    """Events of several streams may have the same id, and an event has it in all groups."""
    ask = asking(server(backend))
    (entry_id,) = await published(ask, 1)
    await redis.xadd("slack:b", {"data": '{"type": "message"}'}, id=entry_id)
    for stream, group in {(TOPIC, "bot"), other}:
        await redis.xgroup_create(stream, group, "0")
        await ask("lease_events", stream=stream, group=group)
    bury = {"ids": [entry_id], "bury": True, "reason": "spam"}
    assert entry_id in await refusal(ask, "release", stream=TOPIC, group="bot", **bury)
    place = dict(zip(("stream", "group"), other, strict=True))
    assert entry_id in await refusal(ask, "release", **place, **bury, confirm=True)
    assert (await ask("release", **place, **bury, confirm=True)).structuredContent["buried"] == [entry_id]


async def test_an_agreement_to_postpone_events_is_none_to_bury_them(
    backend: RedisMessageQueueBackend,
) -> None:
    ask = asking(server(backend))
    await published(ask, 1)
    await work_once(backend, "bot")
    *_, entry_id = await published(ask, 2)
    await ask("lease_events", group="bot", ids=[entry_id])
    assert "Postpone events" in await refusal(ask, "release", ids=[entry_id], delay_seconds=60)
    bury = {"ids": [entry_id], "bury": True, "reason": "spam"}
    assert "Give up on events" in await refusal(ask, "release", **bury, confirm=True)
    assert (await ask("release", **bury, confirm=True)).structuredContent["buried"] == [entry_id]


# What is offered ------------------------------------------------------------------------------------------


async def described(backend: RedisMessageQueueBackend, permissions: Permissions) -> str:
    tools: Any = await server(backend, permissions).list_tools()
    (tool,) = [one for one in tools if one.name == "lease_events"]
    schema = tool.input_schema if SDK_2 else tool.inputSchema
    return str(schema["properties"]["create_group"]["description"])


async def test_groups_are_offered_only_where_they_may_be_made(backend: RedisMessageQueueBackend) -> None:
    everywhere = await described(backend, Permissions(create_groups=True))
    assert everywhere == "Make the group if the stream has others but not this one."
    assert "on a stream that has none yet" in await described(backend, Permissions())


async def test_a_look_that_finds_nothing_shows_nothing(backend: RedisMessageQueueBackend) -> None:
    ask = asking(server(backend))
    await published(ask, 2)
    found = text_of(await ask("read_stream", contains="nobody says this"))
    assert found.startswith(
        '0 events of "slack_events" shown. No event here matches: none of the 2 there are.'
    )


# What is finished ---------------------------------------------------------------------------------------


async def test_no_lease_is_proposed_of_what_the_group_has_finished(ask: Ask) -> None:
    await ask("publish_event", payload=said(1))
    await ask("lease_events", group=GROUP)
    await ask("ack")
    assert "To work on one" not in text_of(await ask("read_stream"))
    await ask("publish_event", payload=said(2))
    assert "To work on one" in text_of(await ask("read_stream"))


# Dead letters ---------------------------------------------------------------------------------------------


async def test_a_dead_letter_names_the_handler_that_failed(ask: Ask, redis: Redis) -> None:
    fields: Any = {"data": json.dumps(said(1)), dead_fields.REASON: "boom", dead_fields.GROUP: "bot"}
    await redis.xadd(names.dead_letters(TOPIC), fields | {dead_fields.HANDLER: "bot.app:answer"})
    assert 'handler "bot.app:answer"' in text_of(await ask("read_stream", dead=True))

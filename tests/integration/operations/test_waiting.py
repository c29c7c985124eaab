"""What waits: the events that a group has not finished, for an agent, a person and a program alike."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import InvalidArgumentError, RequestError
from abe_redis.mcp.permissions import Permissions
from abe_redis.schemas import ReadResult
from abe_redis.streams import manage
from abe_redis.streams.groups import record_progress
from tests.integration.agents import GROUP, TOPIC, asking, refusal, said, server, text_of
from tests.integration.conftest import MakeBackend
from tests.servers import Server
from tests.topologies import Cluster


@pytest.fixture
def agent(make_backend: MakeBackend) -> Operations:
    return Operations(make_backend(), origin="mcp")


async def fill(agent: Operations, count: int, first: int = 0) -> list[str]:
    published = [await agent.publish_event(said(number)) for number in range(first, first + count)]
    return [one.id for one in published]


def states(result: ReadResult) -> list[tuple[str, str | None]]:
    return [(event.id, event.state) for event in result.events]


async def in_every_state(agent: Operations, redis: Redis) -> list[str]:
    """Six events of one group: finished, buried, postponed, given back, held, not delivered."""
    ids = await fill(agent, 6)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await agent.lease(group=GROUP, count=5)
    here: dict[str, Any] = {"stream": TOPIC, "group": GROUP}
    await agent.ack(**here, ids=ids[:1])
    await agent.release(**here, ids=ids[1:2], bury="spam")
    await agent.release(**here, ids=ids[2:3], delay_seconds=600)
    await agent.release(**here, ids=ids[3:4])
    return ids


UNFINISHED = ("postponed", "waiting", "held", "undelivered")


async def test_what_waits_is_listed_with_its_state_and_since_when(agent: Operations, redis: Redis) -> None:
    ids = await in_every_state(agent, redis)
    found = await agent.waiting(group=GROUP)
    assert states(found) == [*zip(ids[2:], UNFINISHED, strict=True)]
    postponed, given_back, held, undelivered = found.events
    assert postponed.due_at is not None
    assert (given_back.consumer, given_back.held_seconds) == (None, None)
    assert (held.consumer, held.yours, held.deliveries) == (agent.consumer, True, 1)
    assert (undelivered.consumer, undelivered.deliveries) == (None, None)
    assert all(event.waited_seconds is not None and event.waited_seconds >= 0 for event in found.events)
    assert (found.mode, found.next_start) == ("waiting", None)
    assert states(await agent.waiting()) == states(found), "the stream has one group"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
async def test_pages_show_each_waiting_event_once(agent: Operations, redis: Redis, count: int) -> None:
    ids = await in_every_state(agent, redis)
    seen, start, calls = list[str](), None, 0
    while calls == 0 or start is not None:
        page = await agent.waiting(group=GROUP, count=count, start=start)
        seen += [event.id for event in page.events]
        start, calls = page.next_start, calls + 1
    assert (seen, calls) == (ids[2:], -(-4 // count))


async def test_what_is_pending_behind_what_was_not_delivered_stands_in_the_same_order(
    agent: Operations, redis: Redis
) -> None:
    """As after somebody has moved the group back: then consumers hold events that it is given again."""
    ids = await fill(agent, 9)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "worker", {TOPIC: ">"}, count=8)
    await redis.xack(TOPIC, GROUP, *ids[:3], *ids[4:6])
    await redis.xgroup_setid(TOPIC, GROUP, ids[1])
    await redis.xdel(TOPIC, ids[7])
    every = states(await agent.waiting(group=GROUP))
    assert [entry_id for entry_id, _ in every] == ids[2:]
    assert [state for _, state in every] == [
        *("undelivered", "held", "undelivered", "undelivered", "held", "held", "undelivered")
    ]
    assert (
        "no longer in the stream"
        in (await agent.waiting(group=GROUP, start=ids[6], count=1)).events[0].summary
    )
    for count in (1, 2, 3):
        seen, start, more = list[tuple[str, str | None]](), None, True
        while more:
            page = await agent.waiting(group=GROUP, count=count, start=start)
            seen, start = seen + states(page), page.next_start
            more = start is not None
        assert seen == every


async def test_what_was_redriven_to_another_group_does_not_wait(agent: Operations, redis: Redis) -> None:
    (first,) = await fill(agent, 1)
    for group in ("other", GROUP):
        await redis.xgroup_create(TOPIC, group, "0")
        await agent.lease(group=group)
    await agent.ack(stream=TOPIC, group="other", ids=[first])
    await agent.release(stream=TOPIC, group=GROUP, ids=[first], bury="its file is gone")
    await agent.redrive(dry_run=False)
    assert (await agent.waiting(group="other")).events == []
    (again,) = (await agent.waiting(group=GROUP)).events
    assert again.state == "undelivered"


async def test_filters_find_what_waits_and_nothing_that_is_finished(agent: Operations, redis: Redis) -> None:
    ids = await fill(agent, 12)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "worker", {TOPIC: ">"}, count=6)
    await redis.xack(TOPIC, GROUP, *ids[:3])

    async def found(**asked: Any) -> list[str]:
        return [event.id for event in (await agent.waiting(group=GROUP, **asked)).events]

    assert await found(channel="C1") == [ids[4], ids[7], ids[10]]
    assert await found(channel="C1", count=2) == [ids[4], ids[7]]
    assert await found(since=ids[5], until=ids[8]) == ids[5:8]
    nothing = await agent.waiting(group=GROUP, contains="no such word")
    assert (nothing.events, nothing.next_start) == ([], None)
    assert nothing.note == f"None of the 9 that wait in group {GROUP!r} matches."


async def test_without_a_group_everything_waits(agent: Operations) -> None:
    ids = await fill(agent, 3)
    found = await agent.waiting()
    assert states(found) == [(entry_id, "undelivered") for entry_id in ids]
    assert "No group reads this stream yet" in found.note
    assert (await agent.count_events(by="type", waiting=True)).total == 3


async def test_of_several_groups_one_must_be_named(agent: Operations, redis: Redis) -> None:
    await fill(agent, 1)
    for group in ("a", "b"):
        await redis.xgroup_create(TOPIC, group, "0")
    with pytest.raises(RequestError, match=r"name one with group\. They are: 'a', 'b'"):
        await agent.waiting()
    with pytest.raises(RequestError, match="no group 'c'"):
        await agent.waiting(group="c")
    with pytest.raises(RequestError, match="holds dead letters"):
        await agent.waiting(stream="dead:{slack_events}")
    assert "does not exist" in (await agent.waiting(stream="slack:none")).note
    with pytest.raises(InvalidArgumentError, match="leave out pending"):
        await agent.read_stream(group="a", waiting=True, pending=True)
    assert len((await agent.read_stream(group="a", waiting=True)).events) == 1


async def test_of_several_groups_the_only_one_with_something_to_do_need_not_be_named(
    agent: Operations, redis: Redis
) -> None:
    ids = await fill(agent, 2)
    await redis.xgroup_create(TOPIC, "a", "$")
    await redis.xgroup_create(TOPIC, "b", ids[0])
    found = await agent.waiting()
    assert states(found) == [(ids[1], "undelivered")]
    assert found.note.startswith("They wait in group 'b'")
    assert found.note.endswith("In its other groups nothing waits.")
    counted = await agent.count_events(by="type", waiting=True)
    assert (counted.group, counted.total) == ("b", 1)
    await agent.lease(group="b")
    await agent.ack(stream=TOPIC, group="b", ids=[ids[1]])
    assert "In its other groups nothing waits." in (await agent.waiting()).note


async def test_the_absence_of_dead_letters_is_said_as_that(agent: Operations) -> None:
    await fill(agent, 1)
    assert (await agent.peek(dead=True)).note == "'slack_events' has no dead letters."
    with pytest.raises(RequestError, match="Did you mean 'slack_events'"):
        await agent.peek(stream="slack_evnts")


async def test_a_destroyed_group_still_says_what_waits_for_it(agent: Operations, redis: Redis) -> None:
    ids = await fill(agent, 3)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "worker", {TOPIC: ">"}, count=1)
    await redis.xack(TOPIC, GROUP, ids[0])
    await record_progress(redis, [TOPIC], GROUP)
    await redis.xgroup_destroy(TOPIC, GROUP)
    found = await agent.waiting(group=GROUP)
    assert states(found) == [(entry_id, "undelivered") for entry_id in ids[1:]]
    assert "Somebody destroyed the group" in found.note
    await redis.delete(TOPIC)
    again = await fill(agent, 1, first=9)
    assert states(await agent.waiting(group=GROUP)) == [(again[0], "undelivered")]


async def test_a_paused_group_says_so(agent: Operations, redis: Redis, make_backend: MakeBackend) -> None:
    await fill(agent, 1)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await manage.pause((await make_backend().connections()).commands, TOPIC, GROUP, paused=True)
    assert "paused" in (await agent.waiting(group=GROUP)).note


async def test_looking_at_a_long_backlog_costs_few_commands_and_no_long_one(
    agent: Operations, redis: Redis, server: Server | Cluster
) -> None:
    await agent._backend.publish_many(TOPIC, [said(number) for number in range(3000)])
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "worker", {TOPIC: ">"}, count=1500)
    its_server = server.primary_of(TOPIC) if isinstance(server, Cluster) else server
    with its_server.admin() as admin:
        admin.config_resetstat()
        assert len((await agent.waiting(group=GROUP, count=100)).events) == 100
        stats: Any = admin.info("commandstats")
    calls = {name: row["calls"] for name, row in stats.items()}
    assert calls["cmdstat_xpending"] <= 6
    assert sum(count for name, count in calls.items() if "range" in name) <= 120
    nothing = await agent.waiting(group=GROUP, contains="no such word")
    assert nothing.note.startswith("None of the 2,000 looked at matches; more with start=")
    rest = await agent.waiting(group=GROUP, contains="no such word", start=nothing.next_start)
    assert rest.next_start is None


# --- Counts --------------------------------------------------------------------------------------------


async def test_a_count_of_what_waits_leaves_out_what_is_finished(agent: Operations, redis: Redis) -> None:
    ids = await in_every_state(agent, redis)
    every = await agent.count_events(by="channel")
    assert (every.total, every.waiting) == (6, False)
    found = await agent.count_events(by="channel", waiting=True, group=GROUP)
    assert (found.total, found.searched, found.complete, found.group) == (4, 4, True, GROUP)
    assert {row.value: (row.count, row.last_id) for row in found.rows} == {
        "C2": (2, ids[5]), "C0": (1, ids[3]), "C1": (1, ids[4])
    }  # fmt: skip
    later = await agent.count_events(by="type", waiting=True, group=GROUP, since=ids[3], until=ids[5])
    assert (later.total, later.searched) == (2, 2)
    for wrong in ({"group": GROUP}, {"waiting": True, "dead": True}):
        with pytest.raises(InvalidArgumentError, match="waiting"):
            await agent.count_events(by="type", **wrong)


async def test_a_count_until_a_time_looks_at_nothing_behind_it(agent: Operations, redis: Redis) -> None:
    at = 1_764_000_000_000
    for number in range(4):
        await redis.xadd(TOPIC, {"data": "{}"}, id=f"{at + number * 1000}-0")
    found = await agent.count_events(by="type", until="2025-11-24T16:00:03")
    assert (found.total, found.searched) == (3, 3)
    assert (await agent.peek(until="2025-11-24T16:00:03", contains="x")).note == (
        "No event here matches: none of the 3 there are."
    )


# --- As a model reads it -------------------------------------------------------------------------------


async def test_an_agent_reads_what_waits_as_text(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()
    agent = Operations(backend, origin="mcp")
    ids = await in_every_state(agent, redis)
    ask = asking(server(backend, Permissions()))
    stats = text_of(await ask("stream_stats"))
    assert f'Oldest waiting: {ids[2]} in group "agents".' in stats
    call = 'read_stream(stream="slack_events", group="agents", waiting=true)'
    assert f"To list what waits: {call}." in stats
    text = text_of(await ask("read_stream", stream=TOPIC, group=GROUP, waiting=True))
    assert text.startswith(
        "4 events of \"slack_events\" waiting. They wait in group 'agents', the oldest first."
    )
    lines = {
        line.split(",")[0].removeprefix("- "): line for line in text.splitlines() if line.startswith("- ")
    }
    assert [*lines] == ids[2:]
    assert ", no delivery counted, postponed until " in lines[ids[2]]
    assert ", free: the next consumer gets it: " in lines[ids[3]]
    assert f', delivery 1, held by "{agent.consumer}" for ' in lines[ids[4]]
    assert " s, not delivered yet: " in lines[ids[5]]
    assert all(", waits for " in line for line in lines.values())
    first = text_of(await ask("read_stream", group=GROUP, waiting=True, count=3))
    assert first.endswith(f'More: call again with start="{ids[4]}".')
    assert "More:" not in text_of(await ask("read_stream", group=GROUP, waiting=True, start=ids[4], count=3))
    counted = text_of(await ask("count_events", by="type", waiting=True))
    assert counted.startswith(
        '4 events of "slack_events" that wait in group "agents", by type; looked at all 4.'
    )
    assert '6 events of "slack_events", finished ones included, by type' in text_of(
        await ask("count_events", by="type")
    )
    assert '1 dead letter of "slack_events" by reason' in text_of(await ask("count_events", by="reason"))
    for beside in ({"pending": True}, {"dead": True}, {"consumer": "x"}, {"wait_seconds": 1}):
        assert (await refusal(ask, "read_stream", waiting=True, **beside)).startswith(
            "waiting stands for itself"
        )
    assert "leave out order" in await refusal(ask, "read_stream", waiting=True, order="newest")
    assert "leave out waiting" in await refusal(ask, "read_stream", waiting=True, event_id="Ev1")
    quiet = await ask("read_stream", group=GROUP, waiting=True, start=ids[5])
    assert "Nothing waits in group 'agents' behind that id." in text_of(quiet)


async def test_an_unread_stream_says_how_to_list_what_waits(make_backend: MakeBackend) -> None:
    backend = make_backend()
    await fill(Operations(backend, origin="mcp"), 2)
    stats = text_of(await asking(server(backend, Permissions()))("stream_stats"))
    assert 'To list what waits: read_stream(stream="slack_events", waiting=true).' in stats


async def test_an_answer_that_shows_only_the_first_of_those_that_wait_says_so(
    make_backend: MakeBackend, agent: Operations
) -> None:
    await fill(agent, 5)
    ask = asking(server(make_backend()))
    await ask("lease_events", group=GROUP, count=1)
    cut = text_of(await ask("read_stream", waiting=True, count=2))
    assert cut.startswith('The first 2 events of "slack_events" waiting (there may be more).')
    assert f'lease_events(stream="slack_events", group="{GROUP}", ids=["ID"])' in cut, "the group is known"
    assert text_of(await ask("read_stream", waiting=True)).startswith('5 events of "slack_events" waiting.')


async def test_a_lease_in_a_paused_group_says_how_to_look(
    make_backend: MakeBackend, agent: Operations, redis: Redis
) -> None:
    await fill(agent, 1)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await manage.pause(redis, TOPIC, GROUP, paused=True)
    said = await refusal(asking(server(make_backend())), "lease_events", group=GROUP)
    assert 'read_stream(stream="slack_events", group="agents", waiting=true) shows what waits in it.' in said

"""Finding one event, counting, choosing what to lease, and settling all that one holds."""

import json
from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import RequestError
from abe_redis.mcp import event_text
from abe_redis.mcp.agent_events import agent_count
from abe_redis.streams import choose
from tests.integration.agents import GROUP, TOPIC, Ask, said, text_of
from tests.integration.conftest import MakeBackend, take

DEAD = "dead:{slack_events}"


@pytest.fixture
def agent(make_backend: MakeBackend) -> Operations:
    return Operations(make_backend(), origin="mcp")


async def fill(agent: Operations, count: int) -> list[str]:
    return [(await agent.publish_event(said(number) | {"api_app_id": "A1"})).id for number in range(count)]


def texts(result: Any) -> list[str]:
    return [event.payload["event_id"] for event in result.events]


# --- One event -----------------------------------------------------------------------------------------


async def test_an_event_is_found_by_its_id_without_a_search(agent: Operations, redis: Redis) -> None:
    ids = await fill(agent, 30)
    await agent.publish_event({"n": 1}, event_id="mine", stream="slack:other")
    for wanted in ("Ev3", ids[3]):
        found = await agent.find_event(wanted, stream=TOPIC)
        assert (found.stream, texts(found)) == (TOPIC, ["Ev3"])
    (view,) = (await agent.find_event("mine")).events
    assert view.payload == {"n": 1}
    before = await redis.info("commandstats")
    await agent.find_event("Ev29", stream=TOPIC)
    after = await redis.info("commandstats")
    looks = [after[name]["calls"] - before.get(name, {}).get("calls", 0) for name in after if "range" in name]
    assert sum(looks) <= 5, "however many entries there are"
    assert (await agent.find_event("nothing")).events == []
    assert "in any of the 2 streams" in (await agent.find_event("nothing")).note
    with pytest.raises(RequestError, match="does not exist"):
        await agent.find_event("Ev1", stream="slack:gone")


async def test_an_event_that_is_not_remembered_is_searched_for(make_backend: MakeBackend) -> None:
    agent = Operations(make_backend(redis_stream_dedup_seconds=0), origin="mcp")
    await fill(agent, 120)
    assert texts(await agent.find_event("Ev2")) == ["Ev2"]
    assert (await agent.find_event("Ev999")).events == []


async def test_it_says_how_far_each_group_is(agent: Operations, redis: Redis) -> None:
    ids = await fill(agent, 6)
    for group in ("a", GROUP):
        await redis.xgroup_create(TOPIC, group, "0")
    await redis.xreadgroup("a", "worker-1", {TOPIC: ">"}, count=1)
    await agent.lease(group=GROUP, count=5)
    here: dict[str, Any] = {"stream": TOPIC, "group": GROUP}
    await agent.ack(**here, ids=ids[:1])
    await agent.release(**here, ids=ids[1:2], bury="spam")
    await agent.release(**here, ids=ids[2:3], delay_seconds=60)
    await agent.release(**here, ids=ids[3:4])

    async def states(number: int) -> list[str]:
        return [f"{one.group} {one.state}" for one in (await agent.find_event(f"Ev{number}")).handled]

    assert [await states(number) for number in range(6)] == [
        ["a held", "agents done"],
        ["a undelivered", "agents buried"],
        ["a undelivered", "agents postponed"],
        ["a undelivered", "agents waiting"],
        ["a undelivered", "agents held"],
        ["a undelivered", "agents undelivered"],
    ]
    buried = (await agent.find_event("Ev1")).handled[1]
    assert buried.dead_id is not None
    assert await redis.xrange(DEAD, buried.dead_id, buried.dead_id)
    held = (await agent.find_event("Ev4")).handled[1]
    assert (held.consumer, held.deliveries) == (agent.consumer, 1)
    await redis.xdel(TOPIC, ids[0])
    gone = await agent.find_event("Ev0")
    assert "trimmed" in gone.note
    assert (gone.events[0].payload, gone.handled[1].state) == (None, "done")


@pytest.mark.parametrize("by_search", [False, True])
async def test_a_redriven_event_is_not_done_until_its_new_entry_is(
    make_backend: MakeBackend, redis: Redis, by_search: bool
) -> None:
    """Whichever of its entries and ids leads to it; the group that was done with it stays so."""
    agent = Operations(make_backend(redis_stream_dedup_seconds=0 if by_search else 60), origin="mcp")
    (first_id,) = await fill(agent, 1)
    for group in ("other", GROUP):
        await redis.xgroup_create(TOPIC, group, "0")
        await agent.lease(group=group)
    await agent.ack(stream=TOPIC, group="other", ids=[first_id])

    async def bury() -> None:
        (held,) = (await agent.held()).events
        await agent.release(stream=TOPIC, group=GROUP, ids=[held.id], bury="its file is gone")

    async def again() -> str:
        await agent.redrive(dry_run=False)
        rows: Any = await redis.xrevrange(TOPIC, count=1)
        return str(rows[0][0].decode())

    async def states(new_id: str) -> set[str]:
        found = set()
        for wanted in ("Ev0", first_id, new_id):
            handled = (await agent.find_event(wanted, stream=TOPIC)).handled
            found |= {f"{one.group} {one.state} {one.redriven_as or '-'}" for one in handled}
        return found

    def both(state: str, entry_id: str) -> set[str]:
        return {f"{GROUP} {state} {entry_id}", "other done -"}

    await bury()
    second_id = await again()
    assert await states(second_id) == both("undelivered", second_id)
    await agent.lease(group=GROUP)
    assert await states(second_id) == both("held", second_id)
    await bury()
    assert await states(second_id) == both("buried", second_id)
    third_id = await again()
    assert await states(third_id) == both("undelivered", third_id)
    await agent.lease(group=GROUP)
    await agent.ack(stream=TOPIC, group=GROUP, ids=[third_id])
    assert await states(third_id) == both("done", third_id)


async def test_an_agent_reads_under_which_entry_an_event_comes_again(ask: Ask) -> None:
    await ask("publish_event", payload=said(1))
    await ask("lease_events", group=GROUP)
    await ask("release", bury=True, reason="its file is gone", confirm=True)
    await ask("redrive", dry_run=False, confirm=True)
    (new,) = (await ask("read_stream", count=1)).structuredContent["events"]
    answer = text_of(await ask("read_stream", event_id="Ev1"))
    assert f'Group "{GROUP}": redriven as {new["id"]}; not delivered yet.' in answer


async def test_where_too_many_entries_came_since_nobody_claims_that_an_event_is_done(
    agent: Operations, redis: Redis
) -> None:
    (first_id,) = await fill(agent, 1)
    await redis.xgroup_create(TOPIC, GROUP, first_id)
    assert "newest entries only" not in (await agent.find_event("Ev0")).note
    pipeline = redis.pipeline()
    for number in range(1100):
        pipeline.xadd(TOPIC, {"data": json.dumps({"n": number})})
    await pipeline.execute()
    assert "redriven is known of the 1,000 newest entries only" in (await agent.find_event("Ev0")).note


# --- Counting ------------------------------------------------------------------------------------------


async def test_events_are_counted_by_what_they_have_in_common(agent: Operations, redis: Redis) -> None:
    await fill(agent, 12)
    for number, reason in enumerate(["failed 3 times", "failed 5 times", "no JSON"]):
        await redis.xadd(
            DEAD, {"data": "{}", "abe:reason": reason, "abe:group": "g", "abe:id": f"1-{number}"}
        )

    async def counts(**how: Any) -> dict[str, int]:
        return {row.value: row.count for row in (await agent.count_events(**how)).rows}

    assert await counts(by="channel") == {"C0": 4, "C1": 4, "C2": 4}
    assert await counts(by="user", channel="C1") == {"U0": 2, "U1": 2}
    assert await counts(by="type", contains="nothing of the kind") == {}
    assert await counts(by="thread") == {"C0": 4, "C1": 4, "C2": 4}
    assert sum((await counts(by="day", since="1d")).values()) == 12
    assert await counts(by="hour", since="2999-01-01T00:00") == {}
    assert await counts(by="reason") == {"failed # times": 2, "no JSON": 1}
    assert await counts(by="group") == {"g": 3}
    assert await counts(by="type", dead=True) == {"(none)": 3}
    one = await agent.count_events(by="channel", count=1)
    assert (len(one.rows), one.omitted, one.total, one.searched, one.complete) == (1, 2, 12, 12, True)
    with pytest.raises(RequestError, match="does not exist"):
        await agent.count_events(by="type", stream="slack:gone")


@pytest.mark.parametrize(("by", "apart"), [("hour", 3600), ("day", 86400)])
async def test_of_many_hours_or_days_the_last_ones_are_shown(
    agent: Operations, redis: Redis, by: Literal["hour", "day"], apart: int
) -> None:
    for past, count in enumerate((3, 1, 4, 2)):
        for number in range(count):
            await redis.xadd("slack_events", {"data": "{}"}, id=f"{1000 * apart * (past + 1)}-{number}")
    found = await agent.count_events(by=by, count=2)
    assert [row.count for row in found.rows] == [4, 2]
    assert (found.omitted, found.total) == (2, 10)
    assert event_text.counted(agent_count(found), "fence").endswith(
        "2 rows more, all earlier: give a larger count, or filters."
    )


async def test_a_count_ends_somewhere_and_says_where(
    agent: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abe_redis.operations.counting._SEARCHED", 5)
    monkeypatch.setattr("abe_redis.operations.counting._PAGE", 5)
    monkeypatch.setattr("abe_redis.operations.counting._MOST_ROWS", 2)
    await fill(agent, 12)
    found = await agent.count_events(by="channel")
    assert (found.searched, found.total, found.complete) == (5, 5, False)
    assert found.back_to is not None
    assert {row.value for row in found.rows} == {"C2", "C1", "(all others)"}


# --- Choosing what to lease ----------------------------------------------------------------------------


async def test_chosen_events_are_leased_and_no_others(agent: Operations, redis: Redis) -> None:
    ids = await fill(agent, 9)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    taken = await agent.lease(group=GROUP, channel="C1", count=2)
    assert texts(taken) == ["Ev1", "Ev4"]
    assert "3 before them were passed over" in taken.note
    assert [(one.id, one.yours) for one in (await agent.held()).events] == [(ids[1], True), (ids[4], True)]
    rows: Any = await redis.xpending_range(TOPIC, GROUP, "-", "+", 100)
    assert [row["times_delivered"] for row in rows] == [0, 1, 0, 0, 1], "who is passed over is not counted"
    assert texts(await agent.lease(group=GROUP, ids=[ids[3], ids[6]])) == ["Ev3", "Ev6"]
    assert texts(await agent.lease(group=GROUP, contains="HELLO", count=100)) == [
        "Ev0",
        "Ev2",
        "Ev5",
        "Ev7",
        "Ev8",
    ]
    nothing = await agent.lease(group=GROUP, event_type="app_mention")
    assert nothing.events == []
    assert "None of the 0 that wait" in nothing.note


async def test_others_get_what_was_passed_over_in_its_order(
    agent: Operations, make_backend: MakeBackend
) -> None:
    ids = await fill(agent, 5)
    await agent.lease(group=GROUP, ids=ids[3:4])
    async with make_backend().consume(group=GROUP) as events:
        found = await take(events, 4)
        assert {event.id for event in found} == {*ids[:3], ids[4]}
        assert [event.id for event in found if event.id in ids[:3]] == ids[:3]
        assert {event.deliveries for event in found} == {1}


async def test_what_cannot_be_leased_is_told_with_the_reason(
    agent: Operations, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await fill(agent, 8)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "worker-1", {TOPIC: ">"}, count=1)
    mine = await agent.lease(group=GROUP, count=3)
    here: dict[str, Any] = {"stream": TOPIC, "group": GROUP}
    await agent.ack(**here, ids=ids[1:2])
    await agent.release(**here, ids=ids[2:3], delay_seconds=60)
    assert mine.events[-1].id == ids[3]
    monkeypatch.setattr(choose, "MOST_PASSED", 2)
    again = await agent.lease(group=GROUP, ids=[*ids[:2], *ids[3:4], "1-1", ids[7]])
    assert again.events == []
    for words in (
        f"held by 'worker-1': {ids[0]}.",
        f"the group has finished it, or it does not exist: {ids[1]}, 1-1.",
        f"you hold it already: {ids[3]}.",
        f"stand before it: {ids[7]}.",
    ):
        assert words in again.note
    later = await agent.lease(group=GROUP, ids=ids[2:3])
    assert [event.id for event in later.events] == ids[2:3], "what is postponed can be had by its id"
    assert await redis.zcard(f"abe:due:{{{TOPIC}}}:{GROUP}") == 0
    assert texts(await agent.lease(group=GROUP, ids=ids[4:6])) == ["Ev4", "Ev5"]


async def test_a_choice_that_contradicts_itself_is_refused(agent: Operations) -> None:
    (only,) = await fill(agent, 1)
    for arguments, words in (
        ({"ids": [only], "channel": "C1"}, "not both"),
        ({"ids": [only], "wait_seconds": 1}, "leave out wait_seconds"),
        ({"contains": "x", "wait_seconds": 1}, "leave out wait_seconds"),
        ({"since": "1h"}, "set create_group"),
        ({"ids": ["x"]}, "An id is 'x'"),
        ({"ids": ["1-1"] * 1 + [f"{n}-1" for n in range(2, 103)]}, "The number of ids is"),
    ):
        with pytest.raises(RequestError, match=words):
            await agent.lease(group=GROUP, **arguments)


async def test_a_group_can_begin_at_a_time(agent: Operations, redis: Redis) -> None:
    await fill(agent, 3)
    await redis.xgroup_create(TOPIC, "workers", "0")
    nothing = await agent.lease(group="late", create_group=True, since="now")
    assert nothing.events == []
    everything = await agent.lease(group="early", create_group=True, since="1h")
    assert len(everything.events) == 3


# --- All that one holds --------------------------------------------------------------------------------


async def test_without_ids_it_is_all_that_one_holds(agent: Operations, redis: Redis) -> None:
    await fill(agent, 4)
    await agent.publish_event(said(9), stream="slack:other")
    for stream, group in ((TOPIC, GROUP), ("slack:other", "b")):
        await agent.lease(stream=stream, group=group)
    assert {(one.stream, one.group) for one in (await agent.held()).events} == {
        (TOPIC, GROUP),
        ("slack:other", "b"),
    }
    assert "the first 2" in (await agent.held(count=2)).note
    assert len((await agent.held(stream="slack:other")).events) == 1
    first = (await agent.held(stream=TOPIC)).events[0].id
    done = await agent.ack(ids=[first, "1-1"])
    assert (done.stream, done.acked, done.unknown) == (TOPIC, [first], ["1-1"])
    back = await agent.release(stream="slack:other")
    assert (len(back.released), back.also) == (1, [])
    await agent.lease(stream="slack:other", group="b")
    both = await agent.ack()
    assert sorted([len(both.acked), *(len(one.acked) for one in both.also)]) == [1, 3]
    with pytest.raises(RequestError, match="You hold nothing, so nothing was changed"):
        await agent.ack()
    with pytest.raises(RequestError, match=r"You hold none of these in the group 'x'"):
        await agent.release(group="x", ids=["1-1"])
    assert (await agent.held()).note.startswith("You hold nothing")
    rows: Any = await redis.xrange("abe:audit")
    assert [fields[b"what"].decode() for _, fields in rows][-4:] == ["release", "lease_events", "ack", "ack"]


async def test_more_than_a_hundred_are_settled_at_once(agent: Operations) -> None:
    await fill(agent, 130)
    for _ in range(2):
        await agent.lease(group=GROUP, count=100)
    done = await agent.ack()
    assert (len(done.acked), done.also) == (130, [])


# --- Filters and waiting -------------------------------------------------------------------------------


async def test_filters_by_words_and_thread(agent: Operations) -> None:
    root = "1732000000.000100"
    for number, words in enumerate(["Hello there", "the REPORT", "other"]):
        await agent.publish_event(said(number, words, ts=f"17{number}", thread_ts=root if number else "9"))
    assert texts(await agent.peek(contains="report")) == ["Ev1"]
    assert sorted(texts(await agent.peek(thread=root))) == ["Ev1", "Ev2"]
    assert texts(await agent.peek(thread=f"C1/{root}")) == ["Ev1"]
    assert (await agent.peek(contains="nowhere")).note == "No event here matches: none of the 3 there are."
    assert texts(await agent.peek(contains="Ev2")) == ["Ev2"], "in any field"


async def test_a_search_that_ends_early_says_how_to_go_on(
    agent: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abe_redis.operations.matching_entries._SCANNED", 4)
    monkeypatch.setattr("abe_redis.streams.page_size._FIRST", 4)
    monkeypatch.setattr("abe_redis.operations.matching_entries._PAGE", 4)
    await fill(agent, 9)
    found = await agent.peek(contains="nowhere")
    assert found.note.startswith("None in the 4 looked at, as far as ")
    assert found.note.endswith(f"more with start={found.next_start}.")
    monkeypatch.setattr("abe_redis.operations.matching_entries._SCANNED", 2000)
    monkeypatch.setattr("abe_redis.operations.matching_entries._SCANNED_BYTES", 1)
    assert "in the 4 looked at" in (await agent.peek(contains="nowhere")).note


async def test_only_news_is_waited_for(agent: Operations, make_backend: MakeBackend) -> None:
    await fill(agent, 2)
    quiet = await agent.peek(news=True, wait_seconds=0.05)
    assert quiet.events == []
    assert quiet.next_start is not None
    await agent.publish_event(said(7))
    heard = await agent.peek(start=quiet.next_start, order="oldest", wait_seconds=1)
    assert texts(heard) == ["Ev7"], "nothing is missed between two calls"
    assert (await agent.peek(stream="slack:none", news=True, wait_seconds=0.05)).events == []

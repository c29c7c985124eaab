"""Choosing which events to lease, and settling all that one holds."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import RequestError
from abe_redis.streams import choose
from tests.integration.agents import GROUP, TOPIC, said
from tests.integration.conftest import MakeBackend, take
from tests.integration.operations.agents import agent, fill, texts

__all__ = ["agent"]


# --- Choosing what to lease ----------------------------------------------------------------------------


async def test_chosen_events_are_leased_and_no_others(agent: Operations, redis: Redis) -> None:
    ids = await fill(agent, 9)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    taken = await agent.lease(group=GROUP, channel="C1", count=2)
    assert texts(taken) == ["Ev1", "Ev4"]
    assert "3 before them were passed over: nobody holds what was passed over, it counts as" in taken.note
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
        f"Not leased to you, held by 'worker-1': {ids[0]}.",
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
    assert "since" not in everything.note
    again = await agent.lease(group="workers", create_group=True, since="now", count=1)
    assert len(again.events) == 1, "it begins nowhere anew"
    assert "The group was there already, so since changes nothing." in again.note


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
    held = [one.id for one in (await agent.held()).events]
    both = await agent.ack(ids=held)
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
    done = await agent.release()
    assert (len(done.released), done.also) == (130, [])


async def test_without_ids_it_is_not_what_the_answer_of_another_call_showed(agent: Operations) -> None:
    """That answer may not have reached the agent, so it names what it means; giving back harms nobody."""
    await fill(agent, 2)
    await agent.publish_event(said(9), stream="slack:other")
    (one,) = (await agent.lease(group=GROUP, count=1)).events
    second = await agent.lease(group=GROUP, count=1)
    assert f"You also hold 1 of other calls, which you may not have seen: {one.id}." in second.note
    (other,) = (await agent.lease(stream="slack:other", group="b")).events
    refusal = r"You hold 3 events of 3 lease_events calls, .* nothing was done: .*read_stream\(pending=true\)"
    for settle in (
        agent.ack,
        lambda: agent.ack(group=GROUP, stream=TOPIC),
        lambda: agent.release(delay_seconds=9),
        lambda: agent.release(bury="gone"),
    ):
        with pytest.raises(RequestError, match=refusal.replace("3", r"\d")):
            await settle()
    assert len((await agent.held()).events) == 3
    assert (await agent.ack(stream="slack:other")).acked == [other.id], "all of these came in one answer"
    assert (await agent.ack(ids=[one.id])).acked == [one.id]
    assert (await agent.ack()).acked == [second.events[0].id]

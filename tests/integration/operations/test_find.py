"""Finding one event by its id, words or thread, and saying how far each group is with it."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import RequestError
from tests.integration.agents import GROUP, TOPIC, Ask, said, text_of
from tests.integration.conftest import MakeBackend
from tests.integration.operations.agents import DEAD, agent, fill, texts

__all__ = ["agent"]


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


async def test_what_somebody_dropped_with_a_consumer_is_not_called_done(
    agent: Operations, redis: Redis
) -> None:
    ids = await fill(agent, 3)
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await agent.lease(group=GROUP, count=3)
    here: dict[str, Any] = {"stream": TOPIC, "group": GROUP}
    await agent.ack(**here, ids=ids[:1])
    await agent.release(**here, ids=ids[1:2], delay_seconds=60, reason="busy")
    await agent.release(**here, ids=ids[2:3])

    async def states() -> list[Any]:
        found = [(await agent.find_event(f"Ev{number}")).handled[0] for number in range(3)]
        return [(one.state, one.consumer, one.deliveries, one.due_at, one.reason) for one in found]

    before = await states()
    assert [state for state, *_ in before] == ["passed", "postponed", "waiting"]
    consumers: Any = await redis.xinfo_consumers(TOPIC, GROUP)
    dropped = [await redis.xgroup_delconsumer(TOPIC, GROUP, one["name"]) for one in consumers]
    assert sum(dropped) == 2
    assert await states() == [before[0], (before[1][0], None, *before[1][2:]), before[2]]


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
        ["a held", "agents passed"],
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
    assert (gone.events[0].payload, gone.handled[1].state) == (None, "gone")


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
        return {f"{GROUP} {state} {entry_id}", "other passed -"}

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
    await ask("redrive", all=True, dry_run=False, confirm=True)
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

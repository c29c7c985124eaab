"""Reading by hand: what is shown, how much, with which filters, and how long one waits."""

import json
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import InvalidNameError, RequestError
from abe_redis.operations.event_views import compact
from abe_redis.streams.peek import Order
from tests import lateness
from tests.integration.conftest import MakeBackend, pending
from tests.integration.operations.numbered_streams import fill, operations

__all__ = ["operations"]


def numbers(events: list[Any]) -> list[int]:
    return [event.payload["n"] for event in events]


async def test_looking_changes_nothing(operations: Operations, redis: Redis) -> None:
    ids = await fill(operations, 5)
    before = await redis.dump("slack_events")
    newest = await operations.read_stream(count=2)
    assert newest.mode == "peek"
    assert [event.id for event in newest.events] == ids[:2:-1]
    assert newest.next_start == ids[3]
    rest = await operations.read_stream(start=newest.next_start)
    assert [event.id for event in rest.events] == ids[2::-1]
    assert rest.next_start is None
    oldest = await operations.read_stream(order="oldest", count=3)
    assert numbers(oldest.events) == [0, 1, 2]
    assert numbers((await operations.read_stream(order="oldest", start=oldest.next_start)).events) == [3, 4]
    assert await redis.dump("slack_events") == before


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_more_is_said_only_when_there_is_more(operations: Operations, order: Order) -> None:
    ids = await fill(operations, 6)
    looked = operations.read_stream
    assert (await looked(order=order, count=6)).next_start is None
    assert (await looked(order=order, count=5)).next_start == ids[1 if order == "newest" else 4]
    assert (await looked(order=order, count=4, since=ids[2])).next_start is None
    assert (await looked(order=order, count=3, since=ids[2])).next_start is not None
    assert (await looked(order=order, count=4, until=ids[4])).next_start is None
    assert (await looked(order=order, count=3, until=ids[4])).next_start is not None
    mentions: Any = {"order": order, "event_type": "app_mention"}
    assert (await looked(**mentions, count=3)).next_start is None
    assert (await looked(**mentions, count=2)).next_start is not None


async def test_more_of_what_is_pending_is_said_only_when_there_is_more(operations: Operations) -> None:
    ids = await fill(operations, 3)
    await operations.read_stream(group="agents", count=3)
    every = await operations.read_stream(group="agents", pending=True, count=3)
    assert (len(every.events), every.next_start) == (3, None)
    some = await operations.read_stream(group="agents", pending=True, count=2)
    assert some.next_start == ids[1]


async def test_a_filter_goes_on_where_it_stopped(operations: Operations) -> None:
    await fill(operations, 30)
    first = await operations.read_stream(order="oldest", event_type="app_mention", count=10)
    assert numbers(first.events) == list(range(1, 20, 2))
    second = await operations.read_stream(
        order="oldest", event_type="app_mention", count=10, start=first.next_start
    )
    assert numbers(second.events) == list(range(21, 30, 2))
    nothing = await operations.read_stream(event_type="no_such_type")
    assert nothing.events == []
    assert nothing.next_start is None


async def test_a_filter_looks_at_a_bounded_part(operations: Operations, redis: Redis) -> None:
    pipeline = redis.pipeline()
    for number in range(2500):
        pipeline.xadd("slack_events", {"data": json.dumps({"type": "rare" if number == 2400 else "x"})})
    await pipeline.execute()
    first = await operations.read_stream(order="oldest", event_type="rare")
    assert first.events == []
    assert first.next_start is not None
    second = await operations.read_stream(order="oldest", event_type="rare", start=first.next_start)
    assert len(second.events) == 1


async def test_dead_letters_are_looked_at_only(operations: Operations, redis: Redis) -> None:
    await redis.xadd("slack_events", {"data": "not json"})
    leased = await operations.read_stream(group="agents")
    assert leased.events == []
    assert "went to 'dead:{slack_events}'" in leased.note
    letters = await operations.read_stream(stream="dead:{slack_events}")
    assert letters.events[0].payload is None
    assert "not JSON" in letters.events[0].summary
    with pytest.raises(RequestError, match="not leased"):
        await operations.read_stream(stream="dead:{slack_events}", group="agents")
    with pytest.raises(InvalidNameError):
        await operations.publish_event({"a": 1}, stream="dead:{slack_events}")
    assert await pending(redis, "slack_events", "agents") == 0


async def test_waiting_ends_when_something_comes(operations: Operations, make_backend: MakeBackend) -> None:
    publisher = make_backend()
    for arguments in ({}, {"order": "oldest"}, {"group": "agents"}):

        async def publish_soon() -> None:
            await anyio.sleep(0.2)
            await publisher.publish("slack_events", {"n": 1})

        found: Any = None
        if arguments == {"order": "oldest"}:
            newest = await operations.read_stream(count=1)
            arguments |= {"start": newest.events[0].id}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish_soon)
            async with lateness.watching() as watch:
                found = await operations.read_stream(wait_seconds=20, **arguments)  # type: ignore[arg-type]
                assert watch.own < 15, "it waited to the end"
        assert len(found.events) >= 1


async def test_a_cancelled_wait_keeps_nothing(make_backend: MakeBackend, redis: Redis) -> None:
    operations, publisher = Operations(make_backend(), origin="mcp"), make_backend()
    await publisher.publish("slack_events", {"n": 0})
    await operations.read_stream(group="agents")
    for number in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: operations.read_stream(group="agents", wait_seconds=20))
            await anyio.sleep(0.01)
            tasks.start_soon(publisher.publish, "slack_events", {"n": number})
            await anyio.sleep(number / 4000)
            tasks.cancel_scope.cancel()
    held = await operations.read_stream(group="agents", pending=True, count=100)
    known = {entry_id for _, entry_id in operations.agent_leases.held(operations.consumer)}
    assert {event.id for event in held.events if event.consumer is not None} <= known


async def test_a_bound_on_characters(operations: Operations) -> None:
    for number in range(3):
        await operations.publish_event({"type": "message", "n": number, "text": "x" * 50_000})
    result = await operations.read_stream(max_chars=3000)
    assert sum(len(compact(event.payload)) for event in result.events) <= 3000
    assert all(event.truncated for event in result.events)
    assert "larger max_chars" in result.note

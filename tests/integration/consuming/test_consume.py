"""Consuming: acked when the next is asked for, delivered again otherwise, whatever happens."""

import asyncio
import gc
import math
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.consuming import prefetch
from tests.integration.conftest import MakeBackend, pending, take, take_one, until
from tests.integration.consuming.numbered_events import (
    _exhaust,
    nothing_pending,
    numbers,
    publish,
    while_asking,
)


@pytest.mark.promise("A new group starts at the oldest event")
async def test_events_published_before_are_delivered_in_order(backend: RedisMessageQueueBackend) -> None:
    await publish(backend, *range(30))
    async with backend.consume() as events:
        taken = await take(events, 30)
    assert numbers(taken) == list(range(30))
    first = taken[0]
    assert first == {"n": 0}
    assert (first.stream, first.group, first.deliveries) == ("slack_events", "default", 1)


@pytest.mark.promise("A consumer of `consume()` acknowledges an event by asking for the next one")
async def test_an_event_is_acked_when_the_next_is_asked_for(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, 1)
    async with backend.consume() as events:
        await take_one(events)
        assert await pending(redis, "slack_events") == 1
        await while_asking(events, nothing_pending(redis))


@pytest.mark.promise(
    "The event goes to one consumer under a lease, and is finished when that consumer acknowledges it."
)
async def test_groups_get_each_event_and_members_share_them(make_backend: MakeBackend) -> None:
    await publish(make_backend(), *range(40))
    first, second, other = make_backend(), make_backend(), make_backend()
    got: dict[str, list[int]] = {"shared": [], "alone": []}

    async def work(backend: RedisMessageQueueBackend, group: str) -> None:
        async for event in backend.consume(group=group):
            got[group].append(event["n"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, first, "shared")
        tasks.start_soon(work, second, "shared")
        tasks.start_soon(work, other, "alone")

        async def all_done() -> bool:
            return len(got["shared"]) >= 40 and len(got["alone"]) >= 40

        await until(all_done)
        for backend in (first, second, other):
            await backend.close()
    assert sorted(got["shared"]) == list(range(40))
    assert sorted(got["alone"]) == list(range(40))


@pytest.mark.promise("With `consume()` alone, leaving the loop gives the event back.")
@pytest.mark.promise("If the handler raises, is cancelled, or its process dies, the event is delivered again")
@pytest.mark.parametrize("ending", ["raise", "break", "close", "cancel", "drop"])
async def test_an_unfinished_event_comes_again(make_backend: MakeBackend, ending: str) -> None:
    first, second = make_backend(), make_backend()
    await publish(first, 1, 2, 3)
    if ending == "raise":
        with pytest.raises(ZeroDivisionError):
            async for _ in first.consume():
                1 / 0  # noqa: B018
    elif ending == "break":
        async for _ in first.consume():
            break
    elif ending == "close":
        await take_one(first.consume())
        await first.close()
    elif ending == "cancel":
        handling = anyio.Event()

        async def handle_for_ever() -> None:
            async for _ in first.consume():
                handling.set()
                await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handle_for_ever)
            await handling.wait()
            tasks.cancel_scope.cancel()
    else:
        events = first.consume()
        await take_one(events)
        del events
    gc.collect()
    async with second.consume() as events:
        taken = await take(events, 3)
    assert sorted(numbers(taken)) == [1, 2, 3]
    assert {event["n"]: event.deliveries for event in taken}[1] == 2


async def test_prefetched_events_are_given_back_uncounted(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)  # so it leases ahead, however busy the machine is
    first, second = make_backend(), make_backend()
    await publish(first, *range(200))
    events = first.consume()
    handed = await take(events, 60)
    await until(lambda: _more_pending_than(redis, 1))
    await events.aclose()
    consumers: Any = await redis.xinfo_consumers("slack_events", "default")
    assert sum(consumer["pending"] for consumer in consumers) >= 2
    async with second.consume() as again:
        taken = await take(again, 141)
    assert sorted(numbers(taken)) == list(range(59, 200))
    assert {event.deliveries for event in taken if event["n"] != handed[-1]["n"]} == {1}


async def _more_pending_than(redis: Redis, number: int) -> bool:
    return await pending(redis, "slack_events") > number


async def test_two_tasks_cannot_share_one_stream_of_events(backend: RedisMessageQueueBackend) -> None:
    events = backend.consume()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_exhaust, events)
        await anyio.sleep(0.05)
        with pytest.raises(RuntimeError, match="Two tasks"):
            await anext(events)
        await backend.close()


@pytest.mark.one_server
async def test_an_event_that_comes_alone_costs_one_read(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)
    await publish(backend, *range(5))
    async with backend.consume() as events:
        await take(events, 5)
        await redis.config_resetstat()
        for number in range(20):
            asked = asyncio.ensure_future(anext(events))
            await backend.publish("slack_events", {"n": number})
            await asked
        used: Any = await redis.info("commandstats")
    # A poll looks for what was trimmed since the last entry; a read that waits does not.
    polls = used.get("cmdstat_xrange", {"calls": 0})["calls"]
    assert polls <= 2, used


async def test_a_busy_stream_does_not_starve_a_quiet_one(backend: RedisMessageQueueBackend) -> None:
    await publish(backend, *range(300), stream="slack:busy")
    await publish(backend, 1000, stream="slack:quiet")
    async with backend.consume() as events:
        position = [event.stream for event in await take(events, 301)].index("slack:quiet")
    assert position < 150


async def test_prefetched_events_of_a_slow_handler_go_to_others(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)  # however busy the machine is
    await make_backend().publish_many("slack_events", ({"n": number} for number in range(300)))
    slow, idle = make_backend(), make_backend()
    async with slow.consume() as events, idle.consume() as others:
        first = await take(events, 60)
        await until(lambda: _more_pending_than(redis, 2))  # it was fast, and leased ahead
        rest = await take(others, 240)  # while the first one works on its sixtieth
        assert numbers(first) == list(range(60))
        assert sorted(numbers(rest)) == list(range(60, 300))
        assert {event.deliveries for event in rest} == {1}, "what only lay in a buffer was not delivered"

"""What a member of a group has leased ahead, and what happens to it when something comes between."""

import asyncio
import math
import time
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventStream, RedisMessageQueueBackend, Settings
from abe_redis.client.connections import Connections
from abe_redis.consuming import prefetch
from abe_redis.consuming.consumer import Consumer
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams.patterns import Patterns
from tests.integration.conftest import MakeBackend, take, take_away, take_one, until
from tests.integration.consuming.leased_ahead import HOUR_MS, STREAM, ids_behind, lease_ahead
from tests.patience import PATIENCE
from tests.servers import Server


@pytest.fixture(autouse=True)
def _quick_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a consumer leases ahead, and gives nothing back for want of time."""
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)
    monkeypatch.setattr(prefetch, "SLOW_SECONDS", math.inf)


async def consumers_idle(redis: Redis) -> bool:
    """Whether all that was leased is with its handler or was given back."""
    rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 1000)
    return len([row for row in rows if row["time_since_delivered"] < HOUR_MS]) <= 1


async def test_an_old_prefetched_lease_is_checked_before_delivery(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    events, last, ahead = await lease_ahead(backend, redis)
    time.sleep(1.2)  # noqa: ASYNC251 - the process is frozen for more than half a lease
    event = await take_one(events)
    assert (event.id, event["n"], event.deliveries) == (ahead[0], last["n"] + 1, 1)


@pytest.mark.promise(
    "When a lease may have expired, or the wall clock has jumped ahead, the process asks Redis"
)
async def test_an_event_that_another_took_meanwhile_is_not_delivered(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    events, _, ahead = await lease_ahead(backend, redis)
    await take_away(redis, STREAM, ahead, "other")
    time.sleep(1.2)  # noqa: ASYNC251 - as above
    event = await take_one(events)
    assert event.id not in ahead
    assert not set(ahead) & {event.id for event in await take(events, 20)}


async def test_an_event_that_redis_cannot_confirm_is_left_to_others(own_server: Server) -> None:
    settings = Settings(redis_url=own_server.url, redis_stream_lease_seconds=2)
    async with RedisMessageQueueBackend(settings) as backend, Redis.from_url(own_server.url) as redis:
        events, _, _ = await lease_ahead(backend, redis)
        own_server.kill()
        time.sleep(1.2)  # noqa: ASYNC251 - as above
        async with anyio.create_task_group() as tasks:
            came: list[Event] = []

            async def ask() -> None:
                came.append(await take_one(events))

            tasks.start_soon(ask)
            await anyio.sleep(0.3)
            assert came == []
            own_server.start()  # with nothing in it
            await backend.publish(STREAM, {"n": "new"})
        assert came == [{"n": "new"}]


async def test_a_consumer_closed_during_a_read_delivers_nothing(own_server: Server) -> None:
    settings = Settings(redis_url=own_server.url, redis_stream_lease_seconds=2)
    async with RedisMessageQueueBackend(settings) as backend, Redis.from_url(own_server.url) as redis:
        events, last, ahead = await lease_ahead(backend, redis)
        own_server.freeze()
        time.sleep(1.2)  # noqa: ASYNC251 - as above
        asking = asyncio.create_task(events.behind.next())
        await anyio.sleep(0.1)
        closing = asyncio.create_task(events.aclose())
        await anyio.sleep(0.1)
        own_server.thaw()
        with pytest.raises(StopAsyncIteration):
            await asking
        await closing
        async with backend.consume() as again:
            taken = await take(again, 20)
        assert ahead[0] in {event.id for event in taken}
        assert {event.deliveries for event in taken if event.id != last.id} == {1}


async def test_a_caller_that_waits_for_an_answer_may_be_overtaken(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """One slot of a worker asks whether an event is still ours; another has it handed out meanwhile."""
    backend = make_backend(redis_stream_lease_seconds=2)
    go_on, asked = asyncio.Event(), asyncio.Event()
    slow: asyncio.Task[Any] | None = None

    async def connections() -> Connections:
        if slow is not None and asyncio.current_task() is slow:
            asked.set()
            await go_on.wait()
        return await backend.connections()

    member = Consumer(connections, backend.settings, Patterns([STREAM]), group="default", name="me")
    events = EventStream(member)
    await backend.publish_many(STREAM, [{"n": number} for number in range(300)])
    while True:
        last = (await take(events, 20))[-1]
        if await ids_behind(redis, last):
            break
    time.sleep(1.2)  # noqa: ASYNC251 - as above
    slow = asyncio.create_task(member.take())
    with anyio.fail_after(PATIENCE):
        await asked.wait()

        async def fast() -> Any:
            return member.get_nowait()

        first = await until(fast)  # the leases were renewed in the background
        go_on.set()
        second = await slow
    assert first.event["n"] == last["n"] + 1
    assert second.event["n"] == last["n"] + 2
    await member.close()


async def test_a_consumer_that_stops_fetching_gives_back_what_is_not_in_flight(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    events, last, ahead = await lease_ahead(backend, redis)
    events.behind.stop_fetching()
    assert events.behind.get_nowait() is None
    assert await events.behind.take() is None
    await until(lambda: consumers_idle(redis))
    rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 1000)
    counts = {row["message_id"].decode(): row["times_delivered"] for row in rows}
    assert counts[last.id] == 1
    assert {counts[entry_id] for entry_id in ahead if entry_id in counts} == {0}
    await events.aclose()


async def test_prefetched_events_of_a_paused_group_go_back(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    events, last, ahead = await lease_ahead(backend, redis)
    await Groups(Scope(backend)).pause(STREAM, "default")
    await until(lambda: consumers_idle(redis))
    rows: Any = await redis.xpending_range(STREAM, "default", ahead[0], ahead[0], 1)
    assert [row["times_delivered"] for row in rows] == [0]
    await Groups(Scope(backend)).resume(STREAM, "default")
    await events.aclose()
    async with backend.consume() as again:
        taken = await take(again, 20)
    assert {event.deliveries for event in taken if event.id != last.id} == {1}


async def test_a_pause_reaches_what_is_leased_ahead_of_who_goes_on_asking(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    ahead: list[Any] = []
    while len(ahead) < 40:
        events, _, ahead = await lease_ahead(backend, redis, events=1000)
        if len(ahead) < 40:
            await events.aclose()
    await Groups(Scope(backend)).pause(STREAM, "default")
    handed: set[str] = set()
    while not set(ahead) <= handed:
        with anyio.move_on_after(4):
            handed.add((await anext(events)).id)
            await anyio.sleep(0.2)
            continue
        break
    assert not set(ahead) <= handed
    await events.aclose()

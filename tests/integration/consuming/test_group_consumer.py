"""What a member of a group has leased ahead, and what happens to it when something comes between."""

import asyncio
import contextlib
import math
import time
from collections import deque
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from abe_redis import Event, EventStream, RedisMessageQueueBackend, Settings
from abe_redis.client.connections import Connections
from abe_redis.consuming import prefetch
from abe_redis.consuming.consumer import Consumer
from abe_redis.consuming.held import Held
from abe_redis.consuming.in_flight import InFlight
from abe_redis.errors import AbeRedisError, LeaseLostError, RedisRefusedError
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import lease
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.reclaim import reclaim
from tests.integration.conftest import MakeBackend, pending, take, take_one, until
from tests.patience import PATIENCE
from tests.servers import Server

STREAM = "slack_events"
HOUR_MS = 3_600_000


async def ids_behind(redis: Redis, last: Event) -> list[Any]:
    """What is leased and was not handed out, since it stands behind what was."""
    rows: Any = await redis.xpending_range(STREAM, "default", f"({last.id}", "+", 1000)
    return [row["message_id"].decode() for row in rows if row["time_since_delivered"] < HOUR_MS]


async def lease_ahead(
    backend: RedisMessageQueueBackend, redis: Redis, *, events: int = 300
) -> tuple[EventStream, Event, list[Any]]:
    """A consumer that was so fast that more is leased to it; the last event it was given; and what more."""
    await backend.publish_many(STREAM, [{"n": number} for number in range(events)])
    stream = backend.consume()
    while True:  # a loaded machine may have been too slow for it
        last = (await take(stream, 20))[-1]
        if ahead := await ids_behind(redis, last):
            return stream, last, ahead


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
    await redis.xclaim(STREAM, "default", "other", 0, ahead, justid=True)
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


async def test_events_of_an_unconfirmed_read_come_again_at_once(own_server: Server) -> None:
    """And does not wait for its lease to end: the consumer lives on and does not know of it."""
    settings = Settings(redis_url=own_server.url, redis_stream_lease_seconds=3600)
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(STREAM, {"n": 1})
        events = backend.consume()
        await take_one(events)
        with own_server.admin() as admin:
            asking = asyncio.create_task(take_one(events))
            await until_reading(admin)
            pipeline = admin.pipeline(transaction=True)  # so that the reader who waits does not see it
            pipeline.xadd(STREAM, {"data": '{"n": 2}'})
            pipeline.xreadgroup("default", events.consumer, {STREAM: ">"}, count=9)
            pipeline.execute()
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        event = await asking
        assert (event["n"], event.deliveries) == (2, 1)


async def test_a_stream_that_is_deleted_does_not_hold_up_the_others(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await backend.publish("slack:deleted", {"n": 1})
    await backend.publish(STREAM, {"n": 2})
    async with backend.consume() as events:
        await take(events, 2)
        asking = asyncio.create_task(take_one(events))
        await until(lambda: nothing_pending(redis))
        await redis.delete("slack:deleted")
        await backend.publish(STREAM, {"n": 3})
        assert await asking == {"n": 3}
        asking = asyncio.create_task(take_one(events))
        await until(lambda: nothing_pending(redis))
        await backend.publish(STREAM, {"n": 4})
        assert await asking == {"n": 4}


async def nothing_pending(redis: Redis) -> bool:
    return await pending(redis, STREAM) == 0


async def until_reading(admin: Any) -> None:
    """Until a consumer waits for news."""

    async def reads() -> bool:
        return any(client["cmd"] == "xreadgroup" and "b" in client["flags"] for client in admin.client_list())

    await until(reads)


async def test_an_event_that_may_have_killed_its_handler_is_leased_alone(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    """By a consumer that has just begun, as after a crash."""
    await backend.publish_many(STREAM, [{"n": 1}, {"n": 2}])
    await redis.xgroup_create(STREAM, "default", "0")
    leased = await lease.take_new(redis, "default", "dead", [STREAM], count=2, block_ms=None)
    for entry in leased:
        await redis.xclaim(STREAM, "default", "dead", 0, [entry.id], idle=100_000, justid=True)
    async with backend.consume() as events:
        assert await take_one(events) == {"n": 1}
        rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 9)
        assert [row["consumer"].decode() for row in rows] == [events.consumer, "dead"]
        assert await take_one(events) == {"n": 2}


async def die_with(redis: Redis, backend: RedisMessageQueueBackend, count: int) -> None:
    """A consumer that is gone had begun so many events, each once."""
    await backend.publish_many(STREAM, [{"n": number} for number in range(count)])
    await redis.xgroup_create(STREAM, "default", "0")
    leased = await lease.take_new(redis, "default", "dead", [STREAM], count=count, block_ms=None)
    ids: Any = [entry.id for entry in leased]
    await redis.xclaim(STREAM, "default", "dead", 0, ids, idle=100_000, justid=True)


@pytest.mark.one_server
async def test_many_events_of_a_dead_worker_are_taken_over_some_at_a_time(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)
    monkeypatch.setattr(prefetch, "SLOW_SECONDS", math.inf)
    sizes = list[int]()

    async def counted(*arguments: Any, **more: Any) -> Any:
        leased, lost = await reclaim(*arguments, **more)
        sizes.append(len(leased))
        return leased, lost

    monkeypatch.setattr("abe_redis.consuming.consumer.reclaim", counted)
    await die_with(redis, backend, 600)
    async with backend.consume() as events:
        taken = await take(events, 600)
        assert [event["n"] for event in taken] == list(range(600))
        assert {event.deliveries for event in taken} == {2}
    assert sizes[0] == 1, "a process that has just begun may have been killed by it"
    assert max(sizes) == 32
    assert len([size for size in sizes if size]) <= 600 / 32 + 16
    assert await pending(redis, STREAM) == 1, "the last one, after which nobody asked for another"


async def test_what_is_taken_over_with_others_has_not_begun(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one of them kills the process, the others are not buried for that."""
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)
    monkeypatch.setattr(prefetch, "SLOW_SECONDS", math.inf)
    await die_with(redis, backend, 100)
    async with backend.consume() as events:
        last = (await take(events, 50))[-1]

        async def counts() -> list[int]:
            rows: Any = await redis.xpending_range(STREAM, "default", last.id, "+", 100, events.consumer)
            return [row["times_delivered"] for row in rows]

        async def holds_more() -> bool:
            return len(await counts()) > 1

        await until(holds_more)
        first, *others = await counts()
        assert first == 2
        assert set(others) == {1}
    # Closing gives them back with their counts.
    rows: Any = await redis.xpending_range(STREAM, "default", f"({last.id}", "+", 100)
    assert {row["times_delivered"] for row in rows} == {1}


async def test_an_event_that_cannot_be_buried_stays_pending_and_is_logged(
    backend: RedisMessageQueueBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(f"dead:{{{STREAM}}}", "no stream")
    await redis.xadd(STREAM, {"data": "no JSON"})
    await backend.publish(STREAM, {"n": 1})
    async with backend.consume() as events:
        assert await take_one(events) == {"n": 1}

        async def told() -> bool:
            return "The entry stays pending." in caplog.text

        await until(told)
        await backend.publish(STREAM, {"n": 2})
        assert await take_one(events) == {"n": 2}
    assert "The key is not a stream" in caplog.text
    assert await pending(redis, STREAM) == 2


class Nobody:
    """Who settles events that nobody settles."""

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None: ...

    async def bury(self, event: Event, *, reason: str) -> None: ...


async def test_a_burial_waits_until_redis_is_back(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish(STREAM, {"n": 1})
        redis = (await backend.connections()).commands
        await redis.xgroup_create(STREAM, "g", "0")
        (entry,) = await lease.take_new(redis, "g", "me", [STREAM], count=1, block_ms=None)
        in_flight = InFlight(backend.settings, "g", "me", Nobody(), deque[Held]())
        assert in_flight.accept([entry._replace(deliveries=99)]) == []
        own_server.freeze()
        burying = asyncio.create_task(in_flight.bury(redis))
        await anyio.sleep(0.1)
        own_server.thaw()
        await burying
        assert not in_flight.has_finished
        assert in_flight.accept([entry._replace(deliveries=99)]) == []
        own_server.kill()
        with pytest.raises((ConnectionError, RedisConnectionError)):
            await in_flight.bury(redis)
        assert in_flight.has_finished


@pytest.mark.promise("every command that acks, renews or gives back an entry first checks who holds it.")
async def test_an_event_that_another_holds_is_not_given_back(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await backend.publish(STREAM, {"n": 1})
    async with backend.consume() as events:
        event = await take_one(events)
        await redis.xclaim(STREAM, "default", "other", 0, [event.id], justid=True)
        with pytest.raises(LeaseLostError):
            await event.nack(delay=5)
        rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 9)
        assert [(row["consumer"], row["times_delivered"]) for row in rows] == [(b"other", 1)]
        with pytest.raises(LeaseLostError):
            await event.bury(reason="not in hand any more")


async def test_a_finished_event_is_not_in_flight(backend: RedisMessageQueueBackend) -> None:
    await backend.publish(STREAM, {"n": 1})
    async with backend.consume() as events:
        held = await events.behind.take()
        assert held is not None
        assert held.event == {"n": 1}
        events.behind.finish(held)
        with pytest.raises(RuntimeError, match="No handler works on this event"):
            _ = held.event


async def test_an_ack_that_is_not_permitted_ends_the_consumer(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish_many(STREAM, [{"n": 1}, {"n": 2}])
        events = backend.consume()
        await take_one(events)
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "-xack")
        with pytest.raises(RedisRefusedError, match="acking in group 'default'"):
            await take(events, 3)


async def test_a_bug_of_ours_is_told_to_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    async def connections() -> Connections:
        raise ZeroDivisionError

    member = Consumer(connections, Settings(), Patterns([STREAM]), group="default", name="me")
    with pytest.raises(AbeRedisError, match="failed unexpectedly: ZeroDivisionError"):
        await member.next()
    assert "ZeroDivisionError" in caplog.text


async def test_a_cancellation_that_is_lost_does_not_keep_it_from_ending(
    backend: RedisMessageQueueBackend,
) -> None:
    """As in a library's time-out that ends at the same moment."""
    waiting = asyncio.Event()
    tasks: set[asyncio.Task[Any] | None] = set()

    async def connections() -> Connections:
        if asyncio.current_task() not in tasks:
            tasks.add(asyncio.current_task())
            waiting.set()
            with contextlib.suppress(asyncio.CancelledError):
                await anyio.sleep_forever()
        return await backend.connections()

    member = Consumer(connections, backend.settings, Patterns([STREAM]), group="default", name="me")
    asking = asyncio.create_task(member.take())
    await waiting.wait()
    with anyio.fail_after(PATIENCE):
        await member.close()
        assert await asking is None


async def test_an_unreadable_entry_is_buried_though_nothing_else_comes(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await redis.xadd(STREAM, {"data": "no JSON"})
    async with backend.consume() as events, anyio.create_task_group() as tasks:
        tasks.start_soon(take_one, events)

        async def buried() -> bool:
            return bool(await redis.xlen(f"dead:{{{STREAM}}}"))

        await until(buried)
        tasks.cancel_scope.cancel()

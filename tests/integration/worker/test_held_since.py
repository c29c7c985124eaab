"""Who holds which event for how long: everybody sees it, though it is renewed."""

import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from abe_redis import Event, EventWorker
from abe_redis.operations.operations import Operations
from abe_redis.schemas import ConsumerStats
from abe_redis.streams import hold_times
from abe_redis.worker.retry import Retry
from tests.integration.conftest import MakeBackend, pending, take_one, until
from tests.integration.worker.held_events import STREAM, consumer_in, pending_in


@pytest.mark.parametrize("ordered", [False, True])
async def test_everybody_sees_since_when_a_consumer_holds_an_event_though_it_is_renewed(
    make_backend: MakeBackend, *, ordered: bool
) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.9)
    operations = Operations(backend)
    go_on, began = anyio.Event(), anyio.Event()

    async def handle(_: Event) -> None:
        began.set()
        await go_on.wait()

    published = await backend.publish_event(STREAM, {"n": 1})
    worker = EventWorker(backend, handle, ordered=ordered)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await began.wait()
        began_at = time.monotonic()

        async def held_for_long() -> ConsumerStats | None:
            one = await consumer_in(operations)
            return one if one.alive and (one.held_seconds or 0) > 2 else None

        one = await until(held_for_long)  # it is stuck, and not silent
        assert time.monotonic() - began_at > 1.5, "it is as long as it really is"
        assert one.holds == published.id

        async def was_renewed() -> bool:
            event = await pending_in(operations)
            return (event.held_seconds or 0) > 1 + (event.idle_seconds or 0)

        await until(was_renewed)

        async def is_named() -> bool:
            (stream,) = (await operations.stream_stats(stream=STREAM)).streams
            named = f"Consumer {one.name!r} of group 'default' has held event {published.id} for"
            return named in stream.advice and (stream.groups[0].oldest_held_seconds or 0) > 2

        await until(is_named)
        go_on.set()

        async def done() -> bool:
            return (await consumer_in(operations)).pending == 0

        await until(done)
        assert (await consumer_in(operations)).holds is None
        await worker.shutdown()


@pytest.mark.one_server
async def test_a_delivery_begins_anew_also_for_the_same_consumer(make_backend: MakeBackend) -> None:
    """What it said of the event before does not count: it was given back meanwhile."""
    backend = make_backend(redis_stream_lease_seconds=3)
    operations = Operations(backend)
    deliveries, began_at = list[int](), list[float]()
    go_on = anyio.Event()

    async def handle(event: Event) -> None:
        began_at.append(time.monotonic())
        deliveries.append(event.deliveries)
        if event.deliveries == 1:
            await anyio.sleep(1.5)  # renewed, and noted, after a second
            raise ValueError
        await go_on.wait()

    await backend.publish_event(STREAM, {"n": 1})
    worker = EventWorker(backend, handle, policy=lambda *_: Retry(0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def again() -> bool:
            return deliveries == [1, 2]

        await until(again)
        one = await consumer_in(operations)
        asked_at = time.monotonic()
        assert (one.held_seconds or 0) <= asked_at - began_at[1] + 0.5
        go_on.set()
        await worker.shutdown()


@pytest.mark.one_server
async def test_noting_since_when_costs_nothing_per_event(make_backend: MakeBackend, redis: Any) -> None:
    """A handler that is done before a third of its lease has passed leaves no record of its event."""
    backend = make_backend(redis_stream_lease_seconds=30)

    async def handle(_: Event) -> None:
        await anyio.lowlevel.checkpoint()

    await backend.publish_many(STREAM, [{"n": n} for n in range(500)])
    worker = EventWorker(backend, handle, concurrency=4)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def done() -> bool:
            return worker.handled == 500

        await until(done)
        await worker.shutdown()
    assert await redis.hvals("abe:held:{slack_events}:default") == [b"left"]


@pytest.mark.one_server
async def test_one_who_may_not_note_it_renews_all_the_same(
    make_backend: MakeBackend, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A user's rights may refuse it."""
    keys = [
        f"~abe:{name}*" for name in ("groups:", "due:", "leases:", "pending:", "seen:", "streams", "scan")
    ]
    await redis.execute_command(
        *("ACL", "SETUSER", "worker", "on", ">secret", f"~{STREAM}", "~dead:*", *keys, "&*", "+@all")
    )
    backend = make_backend(redis_username="worker", redis_password="secret", redis_stream_lease_seconds=0.6)
    await backend.publish_event(STREAM, {"n": 1})
    async with backend.consume() as events:
        event = await take_one(events)

        async def it_was_said() -> bool:
            return "noting since when events are held" in caplog.text

        await until(it_was_said)
        assert "Group 'default' goes on without." in caplog.text
        await anyio.sleep(1)
        assert event.deliveries == 1
        await event.nack()


@pytest.mark.one_server
async def test_nobody_holds_a_postponed_event(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_lease_seconds=30)
    operations = Operations(backend)
    await backend.publish_event(STREAM, {"n": 1})
    async with backend.consume() as events:
        event = await take_one(events)
        await event.nack(delay=60)
        one = await consumer_in(operations)
        assert (one.pending, one.holds, one.held_seconds) == (1, None, None)
        shown = await pending_in(operations)
        assert (shown.held_seconds, shown.due_at is not None) == (None, True)


@pytest.mark.one_server
async def test_an_event_far_behind_many_others_is_found_too(make_backend: MakeBackend, redis: Any) -> None:
    """Of many pending entries only the oldest are read; what consumers speak of is asked for by its id."""
    backend = make_backend(redis_stream_lease_seconds=30)
    operations = Operations(backend)
    done = await backend.publish_many(STREAM, [{"n": n} for n in range(150)])
    await redis.xgroup_create(STREAM, "default", "0")
    await redis.xreadgroup("default", "many", {STREAM: ">"}, count=149)
    await redis.xreadgroup("default", "one", {STREAM: ">"}, count=1)
    last = done[-1].id
    await hold_times.note(redis, "default", "one", [STREAM], [hold_times.Held(STREAM, last, 1, 500.0)])
    (stream,) = await operations.glance()
    by_name = {one.name: one for one in stream.groups[0].consumers}
    assert by_name["one"].holds == last
    assert 500 <= (by_name["one"].held_seconds or 0) < 600
    assert (by_name["many"].held_seconds or 0) < 400


@pytest.mark.one_server
async def test_what_was_given_back_is_held_by_nobody_and_nobody_is_no_consumer(
    make_backend: MakeBackend, redis: Any
) -> None:
    """It is pending under a name that stands for nobody, which must not look like one who is alive."""
    backend = make_backend(redis_stream_lease_seconds=30)
    operations = Operations(backend)
    await backend.publish_event(STREAM, {"n": 1})
    async with backend.consume() as events:
        event = await take_one(events)
    assert await pending(redis, STREAM) == 1
    (stream,) = (await operations.stream_stats(stream=STREAM)).streams
    (group,) = stream.groups
    assert (group.consumers, group.oldest_held_seconds) == ([], None)
    assert stream.health == "stalled", stream.advice
    shown = await pending_in(operations)
    assert (shown.id, shown.consumer, shown.held_seconds) == (event.id, None, None)

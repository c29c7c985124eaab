"""Handlers that take long, or hold up everybody: somebody says so, with the place and the event."""

import asyncio
import re
import time
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from abe_redis import Event, EventWorker, Settings
from abe_redis.consuming import hold_times as holding
from abe_redis.consuming.held import Held
from abe_redis.consuming.hold_times import Holding
from abe_redis.observability.loop_watch import LoopWatch
from abe_redis.operations.operations import Operations
from abe_redis.schemas import ConsumerStats, EventView
from abe_redis.streams import hold_times
from abe_redis.streams.lease import Leased
from abe_redis.worker.retry import Retry
from tests.integration.conftest import MakeBackend, pending, take_one, until
from tests.patience import PATIENCE

STREAM = "slack_events"


async def test_a_handler_that_blocks_the_loop_is_named_while_it_does(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_lease_seconds=1.5)
    said_meanwhile = list[str]()

    async def blocks(event: Event) -> None:
        del event
        until_when = time.monotonic() + PATIENCE
        while "has stood still" not in caplog.text and time.monotonic() < until_when:
            time.sleep(0.05)  # noqa: ASYNC251 - that is the fault
        said_meanwhile.append(caplog.text)

    await backend.publish(STREAM, {"n": 1})
    worker = EventWorker(backend, blocks)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def it_runs_again() -> bool:
            return "runs again" in caplog.text

        await until(it_runs_again)
        await worker.shutdown()
    assert re.search(
        r"has stood still for \d+\.\d s at .*test_long_handlers.py:\d+ in blocks", said_meanwhile[0]
    )
    assert "runs in a thread" in said_meanwhile[0]
    assert re.search(r"The event loop runs again; it stood still for \d+\.\d s", caplog.text)


@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "frozen"])
async def test_one_that_keeps_python_to_itself_is_told_afterwards(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, is_busy: bool
) -> None:
    """A regular expression lets no thread look; a process that was frozen is no fault of its own."""
    monkeypatch.setattr(LoopWatch, "_look", lambda *_: None)
    monkeypatch.setattr(time, "process_time", time.monotonic if is_busy else lambda: 1.0)
    watch = LoopWatch(asyncio.get_running_loop())
    watch.join(0.2)
    time.sleep(0.6)  # noqa: ASYNC251 - it stands for both
    await asyncio.sleep(0.2)
    assert ("so did every thread" in caplog.text) is is_busy
    watch.leave(0.2)


async def test_a_loop_that_only_waits_is_not_blocked(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_lease_seconds=30)

    async def waits(event: Event) -> None:
        del event
        await anyio.sleep(1)

    await backend.publish(STREAM, {"n": 1})
    worker = EventWorker(backend, waits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def done() -> bool:
            return worker.handled == 1

        await until(done)
        await worker.shutdown()
    assert "stood still" not in caplog.text


@pytest.mark.one_server
async def test_an_ack_after_the_lease_was_lost_is_told(
    make_backend: MakeBackend, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Another consumer was given the event, and finishes it later."""
    backend = make_backend(redis_stream_lease_seconds=0.5)
    await backend.publish(STREAM, {"n": 1})
    async with backend.consume() as events:
        event = await take_one(events)
        time.sleep(0.8)  # noqa: ASYNC251 - it holds up the renewal
        await redis.xclaim(STREAM, "default", "another", 0, [event.id])
        with anyio.move_on_after(0.5):
            await anext(events)

        async def it_was_said() -> bool:
            return "took longer than its lease and was given to another consumer" in caplog.text

        await until(it_was_said)
    (row,) = await redis.xpending_range(STREAM, "default", "-", "+", 9)
    assert row["consumer"] == b"another"


def in_hand(number: int, *, since: float) -> Held:
    entry = Leased(STREAM, f"{number}-0", {}, 1)
    return Held(entry, (STREAM, entry.id), 0.0, handed_at=since)


@pytest.mark.one_server
async def test_a_handler_that_takes_much_longer_than_its_peers_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, redis: Any
) -> None:
    now = 1000.0
    monkeypatch.setattr(holding, "time", SimpleNamespace(monotonic=lambda: now))
    every = Holding(Settings(), "default", "c")
    stuck = in_hand(0, since=now)
    now += 500
    await every.tell(redis, [stuck])
    assert "has held" not in caplog.text, "there is nothing to compare it with"
    for number in range(1, 4):
        done = in_hand(number, since=now)
        now += 2
        every.ended(done)
    await every.tell(redis, [stuck])
    await every.tell(redis, [stuck])
    (said,) = [record.getMessage() for record in caplog.records if "has held" in record.getMessage()]
    assert said.startswith(
        "Consumer 'c' has held 0-0 of 'slack_events' for 506 s; none of the last 3 events took longer than "
        "2.0 s."
    )
    caplog.clear()
    other = in_hand(9, since=now)
    now += 29
    await every.tell(redis, [other])
    assert "has held" not in caplog.text, "it is not longer than a lease"


async def test_a_worker_names_the_event_that_is_stuck(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(holding, "BY_FAR", 0)
    backend = make_backend(redis_stream_lease_seconds=0.6)
    go_on = anyio.Event()

    async def handle(event: Event) -> None:
        if event["n"] == 0:
            await go_on.wait()

    await backend.publish_many(STREAM, [{"n": n} for n in range(12)])
    worker = EventWorker(backend, handle, concurrency=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def it_was_said() -> bool:
            return "Its handler may be stuck" in caplog.text

        await until(it_was_said)
        go_on.set()
        await worker.shutdown()
    assert re.search(r"Consumer '.+' has held \S+ of 'slack_events' for \d+ s", caplog.text)


# Who holds which event for how long ----------------------------------------------------------------------


async def consumer_in(operations: Operations) -> ConsumerStats:
    (stream,) = (await operations.stream_stats(stream=STREAM)).streams
    return stream.groups[0].consumers[0]


async def pending_in(operations: Operations) -> EventView:
    (event,) = (await operations.pending(stream=STREAM, group="default")).events
    return event


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
    deliveries = list[int]()
    go_on = anyio.Event()

    async def handle(event: Event) -> None:
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
        began_at = time.monotonic()
        one = await consumer_in(operations)
        asked_at = time.monotonic()
        assert (one.held_seconds or 0) <= asked_at - began_at + 0.5
        go_on.set()
        await worker.shutdown()


@pytest.mark.one_server
async def test_noting_since_when_costs_nothing_per_event(make_backend: MakeBackend, redis: Any) -> None:
    """A handler that is done before a third of its lease has passed leaves no word of it."""
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
    assert not await redis.exists("abe:held:{slack_events}:default")


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

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
from abe_redis.streams.lease import Leased
from tests.integration.conftest import MakeBackend, lease_for_long, take_one, until
from tests.integration.worker.held_events import STREAM
from tests.patience import PATIENCE


async def test_a_handler_that_blocks_the_loop_is_named_while_it_does(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_lease_seconds=1.5)
    said_meanwhile = list[str]()

    async def blocks(event: Event) -> None:
        del event
        await anyio.sleep(0.5)  # of a standstill before it, as on a busy machine, the log has its own words
        until_when = time.monotonic() + PATIENCE
        while "in blocks" not in caplog.text and time.monotonic() < until_when:
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
        await lease_for_long(redis, STREAM, "another")
        time.sleep(0.8)  # noqa: ASYNC251 - it holds up the renewal
        await redis.xclaim(STREAM, "default", "another", 0, [event.id])
        with anyio.move_on_after(0.5):
            await anext(events)

        async def it_was_said() -> bool:
            return "given to another consumer" in caplog.text

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

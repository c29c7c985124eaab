"""Who stood still while its lease ran out: it starts nothing that somebody else has by now."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from redis.asyncio import Redis

from abe_redis import Event, EventStream, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.runtime import clock
from tests.clocks import OtherProcess
from tests.integration.conftest import MakeBackend, pending, take_one, until
from tests.integration.consuming.leased_ahead import lease_ahead
from tests.patience import whole_lines

TOPIC = "slack_events"
PROGRAM = Path(__file__).with_name("suspended.py")


@asynccontextmanager
async def machine(url: str, how: str, log: Path, *, lease_seconds: float = 2) -> AsyncIterator[Process]:
    """A worker on a machine of its own."""
    command = [sys.executable, str(PROGRAM), url, str(lease_seconds), how, str(log)]
    async with await anyio.open_process(command, stdout=None, stderr=None) as process:
        try:
            yield process
        finally:
            process.kill()


def starts(log: Path) -> list[tuple[int, int]]:
    """Which process started a handler with which event, in order."""
    pairs = [line.split() for line in whole_lines(log)]
    return [(int(pid), int(number)) for pid, number in pairs]


@pytest.mark.promise("A process measures leases by a clock that runs while its machine is suspended")
@pytest.mark.parametrize("how", ["ordered", "unordered"])
async def test_a_machine_that_wakes_starts_nothing_that_another_has_by_now(
    make_backend: MakeBackend, redis: Redis, redis_url: str, tmp_path: Path, how: str
) -> None:
    # So much waits behind one conversation that an ordered worker does not ask Redis for more.
    count, log = 200, tmp_path / "starts"
    events = [{"n": n, "channel": "C1", "text": "x" * 25_000} for n in range(count)]
    await make_backend().publish_many(TOPIC, events)

    async def started_by(process: Process, most: int) -> bool:
        return sum(pid == process.pid for pid, _ in starts(log)) >= most

    async with machine(redis_url, how, log) as asleep:
        await until(lambda: started_by(asleep, 10))
        os.kill(asleep.pid, signal.SIGSTOP)
        # It does not lose to the other one what it has, however slow it is.
        async with machine(redis_url, how, log, lease_seconds=60) as awake:

            async def has_taken_over() -> bool:
                rows: Any = await redis.xpending_range(TOPIC, "default", "-", "+", count)
                names = {row["consumer"] for row in rows}
                return await started_by(awake, 10) and not any(
                    f"-{asleep.pid}-".encode() in one for one in names
                )

            await until(has_taken_over)
            slept = len(starts(log))
            os.kill(asleep.pid, signal.SIGCONT)

            async def is_done() -> bool:
                handled = {number for _, number in starts(log)}
                return len(handled) == count and not await pending(redis, TOPIC)

            await until(is_done)
    found = starts(log)
    for at, (pid, number) in enumerate(found[slept:], slept):
        if pid == asleep.pid:
            assert how == "unordered", f"it started {number} of a conversation that another has"
            assert number not in [other for _, other in found[:at]], f"{number} was somebody else's"


async def test_events_that_came_while_a_process_was_frozen_are_confirmed_first(
    make_backend: MakeBackend, redis: Redis, redis_url: str
) -> None:
    """The answer to a read waits in its socket, and the lease that it brings runs out there."""
    settings = Settings(redis_url=redis_url, redis_stream_lease_seconds=2)
    publisher = make_backend()
    await publisher.publish(TOPIC, {"n": 0})

    async def begin() -> tuple[RedisMessageQueueBackend, EventStream, Event]:
        backend = RedisMessageQueueBackend(settings)
        events = backend.consume()
        return backend, events, await take_one(events)

    async def is_given() -> bool:
        return bool(await pending(redis, TOPIC))

    async def is_acked() -> bool:
        return not await is_given()

    with OtherProcess() as process:
        backend, events, _ = await process.do(begin())
        try:
            number, waiting = 0, process.start(take_one(events))  # which acks what it has
            while True:
                await until(is_acked)
                await process.freeze()
                number += 1
                await publisher.publish(TOPIC, {"n": number})
                with anyio.move_on_after(0.1):
                    await until(is_given)
                if await is_given():
                    break
                process.thaw()  # its read had just ended
                await asyncio.wrap_future(waiting)
                waiting = process.start(take_one(events))
            async with make_backend(redis_stream_lease_seconds=2).consume() as others:
                assert (await take_one(others))["n"] == number
                await publisher.publish(TOPIC, {"n": "next"})
                assert (await take_one(others))["n"] == "next"
                await until(lambda: is_settled(redis))
            process.thaw()
            assert (await asyncio.wrap_future(waiting))["n"] == "next", (
                "the other has finished what came before"
            )
        finally:
            process.thaw()
            await process.do(backend.close())


async def is_settled(redis: Redis) -> bool:
    """Whether all but the last is acked."""
    return await pending(redis, TOPIC) == 1


@pytest.mark.promise(
    "When a lease may have expired, or the wall clock has jumped ahead, the process asks Redis"
)
async def test_after_a_jump_of_the_wall_clock_what_is_leased_ahead_is_asked_about(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what a pause looks like that stopped all other clocks; others have the events by then."""
    backend = make_backend()
    events, _, ahead = await lease_ahead(backend, redis)
    await redis.xclaim(TOPIC, "default", "another", 0, ahead)
    jumped_at = clock.now()
    monkeypatch.setattr(clock, "doubted_at", lambda: jumped_at)
    assert (await take_one(events)).id not in ahead


async def test_after_a_jump_of_the_wall_clock_nothing_starts_of_a_stream_that_another_owns(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend, gate, began = make_backend(), anyio.Event(), list[int]()

    async def handle(event: Event) -> None:
        began.append(event["n"])
        await gate.wait()

    async def is_at_work() -> bool:
        return bool(began)

    async def has_noticed() -> bool:
        return "does not own 'slack_events' any more" in caplog.text

    async def are_all_handled() -> bool:
        return not await pending(redis, TOPIC)

    await backend.publish_many(TOPIC, [{"n": n, "channel": "C1"} for n in range(3)])
    worker = EventWorker(backend, handle, ordered=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(is_at_work)
        await redis.set("abe:owner:{slack_events}:default", "another", px=60_000)
        jumped_at = clock.now()
        monkeypatch.setattr(clock, "doubted_at", lambda: jumped_at)
        gate.set()
        await until(has_noticed)
        assert began == [0]
        await redis.delete("abe:owner:{slack_events}:default")
        await until(are_all_handled)
        await worker.shutdown()

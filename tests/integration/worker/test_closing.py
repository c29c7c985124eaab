"""A backend that is closed while its worker runs: what handlers have in hand is settled once, not twice."""

from collections import Counter
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.consuming import group_consumer
from abe_redis.worker import handling_tasks
from tests.integration.conftest import MakeBackend, pending, until
from tests.patience import PATIENCE

STREAM = "slack_events"
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


def said(number: int) -> dict[str, object]:
    return {"type": "message", "channel": f"C{number}", "n": number}


@KINDS
@pytest.mark.promise("Closing a backend ends the handlers of its workers")
async def test_nothing_is_finished_twice_when_the_backend_is_closed_under_its_worker(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    started, done = Counter[int](), Counter[int]()

    async def handle(event: Event) -> None:
        started[event["n"]] += 1
        await anyio.sleep(0.2)
        done[event["n"]] += 1

    async def are_started() -> bool:
        return len(started) >= 5

    async def are_done() -> bool:
        return len(done) == 8 and not await pending(redis, STREAM)

    first = make_backend()
    await first.publish_many(STREAM, [said(number) for number in range(8)])
    async with anyio.create_task_group() as tasks:
        worker = EventWorker(first, handle, concurrency=5, ordered=ordered)
        tasks.start_soon(worker.run)
        await until(are_started)
        await first.close()
    assert worker.given_back + worker.handled >= 5
    async with anyio.create_task_group() as tasks:
        other = EventWorker(make_backend(), handle, concurrency=5, ordered=ordered)
        tasks.start_soon(other.run)
        await until(are_done)
        await other.shutdown()
    assert set(done.values()) == {1}


@KINDS
async def test_a_handler_that_ends_while_the_backend_is_closed_has_its_event_acked(
    make_backend: MakeBackend, redis: Redis, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in the middle of what must not be cut short."""
    monkeypatch.setattr(group_consumer, "CLOSE_SECONDS", PATIENCE)  # for which its end is waited
    monkeypatch.setattr(handling_tasks, "LEAVE_SECONDS", PATIENCE)
    started, may_end = anyio.Event(), anyio.Event()

    async def handle(_: Event) -> None:
        started.set()
        with anyio.CancelScope(shield=True):
            await may_end.wait()

    backend = make_backend()
    await backend.publish(STREAM, said(0))
    async with anyio.create_task_group() as tasks:
        worker = EventWorker(backend, handle, ordered=ordered)
        tasks.start_soon(worker.run)
        await started.wait()
        tasks.start_soon(backend.close)
        await anyio.sleep(0.05)
        may_end.set()
    assert worker.handled == 1
    assert not await pending(redis, STREAM)


@KINDS
async def test_what_a_handler_does_not_let_go_of_keeps_its_lease(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    """Somebody else is given it when the lease is over, and not beside the handler."""
    started, may_end = anyio.Event(), anyio.Event()

    async def handle(_: Event) -> None:
        started.set()
        with anyio.CancelScope(shield=True):
            await may_end.wait()

    backend = make_backend(redis_stream_lease_seconds=600)
    await backend.publish(STREAM, said(0))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(EventWorker(backend, handle, ordered=ordered).run)
            await started.wait()
            await backend.close()
            rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 9)
            may_end.set()
    finally:
        may_end.set()
    (row,) = rows
    assert row["consumer"] != b"abe:nobody"
    assert row["time_since_delivered"] < 600_000
    if ordered:
        assert await redis.exists("abe:owner:{slack_events}:default")

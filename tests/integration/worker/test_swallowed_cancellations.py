"""A coroutine that goes on although it was cancelled: the worker ends all the same, and nothing spins."""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.worker import handling_tasks, insistence
from tests.integration.conftest import MakeBackend, log_says, until
from tests.integration.worker.worker_at_work import at_work, publish
from tests.patience import PATIENCE

STREAM = "slack_events"
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


class Stubborn:
    """A handler that swallows every cancellation until the test lets it end."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.may_end = False
        self.swallowed = 0

    async def __call__(self, _: Event) -> None:
        self.begun.set()
        while not self.may_end:
            try:
                await anyio.sleep(0.01)
            except BaseException:  # noqa: BLE001 - as bots do
                self.swallowed += 1

    async def is_left_in_peace(self) -> bool:
        """Whether it is cancelled seldom, if at all."""
        before = self.swallowed
        await anyio.sleep(0.3)
        return before > 0 and self.swallowed - before <= 2


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubborn]:
    monkeypatch.setattr(handling_tasks, "LEAVE_SECONDS", 0.3)
    handler = Stubborn()
    yield handler
    handler.may_end = True


async def by_a_signal(_: RedisMessageQueueBackend, worker: EventWorker, begun: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run_until_signal)
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)


async def by_two_signals(_: RedisMessageQueueBackend, worker: EventWorker, begun: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run_until_signal)
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)


async def by_shutdown(_: RedisMessageQueueBackend, worker: EventWorker, begun: anyio.Event) -> None:
    async with at_work(worker):
        await begun.wait()


async def by_cancellation(_: RedisMessageQueueBackend, worker: EventWorker, begun: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await begun.wait()
        tasks.cancel_scope.cancel()


async def by_close(backend: RedisMessageQueueBackend, worker: EventWorker, begun: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await begun.wait()
        await backend.close()


type Ending = Callable[[RedisMessageQueueBackend, EventWorker, anyio.Event], Awaitable[None]]


@KINDS
@pytest.mark.parametrize("end", [by_a_signal, by_two_signals, by_shutdown, by_cancellation, by_close])
async def test_the_worker_ends_and_the_event_comes_again_after_its_lease(
    make_backend: MakeBackend,
    redis: Redis,
    stubborn: Stubborn,
    caplog: pytest.LogCaptureFixture,
    end: Ending,
    ordered: bool,
) -> None:
    first = make_backend(redis_stream_lease_seconds=2)
    await publish(first, 1)
    drain_seconds = 600 if end is by_two_signals else 0.05
    worker = EventWorker(first, stubborn, drain_seconds=drain_seconds, ordered=ordered)
    with anyio.fail_after(PATIENCE):
        await end(first, worker, stubborn.begun)
    assert (worker.handled, worker.failed, worker.given_back) == (0, 0, 0)
    assert (
        "this worker no longer waits for it. Its event is not given back but delivered again" in caplog.text
    )
    await until(stubborn.is_left_in_peace)
    rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 9)
    assert [row["consumer"] != b"abe:nobody" for row in rows] == [True]
    await first.close()

    seen: list[int] = []

    async def handle(event: Event) -> None:
        seen.append(event.deliveries)

    async def is_seen() -> bool:
        return bool(seen)

    async with at_work(EventWorker(make_backend(redis_stream_lease_seconds=2), handle, ordered=ordered)):
        await until(is_seen)
    assert seen == [2]


async def test_beyond_its_limit_it_keeps_its_place_and_is_cancelled_only_now_and_then(
    backend: RedisMessageQueueBackend, stubborn: Stubborn
) -> None:
    await publish(backend, 1)
    worker = EventWorker(backend, stubborn, handler_timeout=0.05)
    async with at_work(worker):
        await stubborn.begun.wait()
        await until(stubborn.is_left_in_peace)
        stubborn.may_end = True
    assert (worker.handled, worker.failed) == (0, 1)


async def test_after_a_lost_lease_it_keeps_its_place_and_is_named_and_cancelled_only_now_and_then(
    make_backend: MakeBackend,
    redis: Redis,
    stubborn: Stubborn,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insistence, "OUTLASTS_SECONDS", 0.2)
    backend = make_backend(redis_stream_lease_seconds=1)
    await publish(backend, 1)
    worker = EventWorker(backend, stubborn)

    async def is_cancelled() -> bool:
        return stubborn.swallowed > 0

    async with at_work(worker):
        await stubborn.begun.wait()
        rows: Any = await redis.xrange(STREAM)
        ((entry, _),) = rows
        await redis.xclaim(STREAM, "default", "another", 0, [entry])
        await until(is_cancelled)
        await until(stubborn.is_left_in_peace)
        await until(lambda: log_says(caplog, "goes on although it was cancelled"))
        assert "no longer waits" not in caplog.text
        stubborn.may_end = True
    assert worker.failed == 0


async def test_a_shield_protects_also_a_handler_that_swallowed_its_cancellation_before(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insistence, "AGAIN_SECONDS", 0.05)
    ended: list[str] = []

    async def handle(_: Event) -> None:
        swallowed = 0
        while swallowed < 5 * insistence.MANY:
            try:
                await anyio.sleep(0.5)
                break
            except BaseException:  # noqa: BLE001 - as bots do
                swallowed += 1
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.3)
        ended.append("in order")

    await publish(backend, 1)
    worker = EventWorker(backend, handle, handler_timeout=0.02)
    async with at_work(worker):
        with anyio.fail_after(PATIENCE):
            while not worker.failed:
                await anyio.sleep(0.02)
    assert ended == ["in order"]

"""A plain function that takes too long keeps its place and, for a time, its event."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.from_thread
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend
from abe_redis.consuming import group_consumer
from abe_redis.worker import handling_tasks, threads
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.worker_at_work import at_work, nothing_pending, publish
from tests.patience import PATIENCE

BEYOND = "beyond its limit"
LOST = "its lease was lost"


@dataclass
class Functions:
    """Functions that work until they may end, and how many do."""

    may_end: threading.Event = field(default_factory=threading.Event)
    begun: list[int] = field(default_factory=list)
    at_work: Counter[int] = field(default_factory=Counter)
    together: set[tuple[int, int]] = field(default_factory=set)
    """How many worked at a time, and how many of them on one event."""

    def handle(self, event: Event) -> None:
        number = event["n"]
        self.begun.append(number)
        self.at_work[number] += 1
        self.together.add((self.at_work.total(), self.at_work[number]))
        self.may_end.wait(PATIENCE)
        self.at_work[number] -= 1


@pytest.fixture
def functions() -> Iterator[Functions]:
    made = Functions()
    yield made
    made.may_end.set()


async def until_true(condition: Callable[[], Any]) -> None:
    async def check() -> bool:
        return bool(condition())

    await until(check)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_function_beyond_its_limit_keeps_its_event_and_its_place(
    backend: RedisMessageQueueBackend,
    redis: Redis,
    functions: Functions,
    caplog: pytest.LogCaptureFixture,
    *,
    ordered: bool,
) -> None:
    for number in range(6):
        await backend.publish("slack_events", {"n": number, "type": "message", "channel": f"C{number}"})
    worker = EventWorker(
        backend,
        functions.handle,
        concurrency=2,
        handler_timeout=0.05,
        ordered=ordered,
        policy=Backoff(first=0),
    )
    async with at_work(worker):
        await until_true(lambda: caplog.text.count(BEYOND) == 2)
        await anyio.sleep(0.3)  # in which others would begin
        assert len(functions.begun) == 2
        functions.may_end.set()
        await until(nothing_pending(redis))
    assert sorted(functions.begun) == list(range(6))
    assert max(functions.together) <= (2, 1)
    assert (worker.handled, worker.failed, worker.given_back) == (6, 0, 0)
    assert "Functions.handle of " in caplog.text


async def test_a_function_that_fails_beyond_its_limit_has_failed(
    backend: RedisMessageQueueBackend, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    failures = list[Exception]()

    def handle(event: Event) -> None:
        functions.handle(event)
        if len(functions.begun) == 1:
            raise LookupError("no such channel")

    def policy(event: Event, error: Exception) -> Any:
        failures.append(error)
        return Backoff(first=0)(event, error)

    await publish(backend, 1)
    worker = EventWorker(backend, handle, handler_timeout=0.05, policy=policy)
    async with at_work(worker):
        await until_true(lambda: BEYOND in caplog.text)
        functions.may_end.set()
        await until_true(lambda: worker.handled)
    assert [type(error) for error in failures] == [LookupError]


async def test_a_function_may_ask_whether_its_time_is_over(backend: RedisMessageQueueBackend) -> None:
    failures, begun = list[Exception](), list[int]()

    def handle(event: Event) -> None:
        begun.append(event.deliveries)
        while event.deliveries == 1:
            anyio.from_thread.check_cancelled()

    def policy(event: Event, error: Exception) -> Any:
        failures.append(error)
        return Backoff(first=0)(event, error)

    await publish(backend, 1)
    worker = EventWorker(backend, handle, handler_timeout=0.3, policy=policy)
    async with at_work(worker):
        await until_true(lambda: worker.handled)
    assert [type(error) for error in failures] == [TimeoutError] * (len(begun) - 1)
    assert begun[:2] == [1, 2]


@pytest.mark.parametrize("limit", [None, 0.05])
async def test_a_function_that_has_lost_its_lease_keeps_its_place(
    make_backend: MakeBackend,
    redis: Redis,
    functions: Functions,
    caplog: pytest.LogCaptureFixture,
    limit: float | None,
) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.6)
    await publish(backend, 1)
    worker = EventWorker(backend, functions.handle, handler_timeout=limit)
    async with at_work(worker):
        await until_true(lambda: functions.begun and (limit is None or BEYOND in caplog.text))
        (row,) = await redis.xpending_range("slack_events", "default", "-", "+", 9)
        await redis.xclaim("slack_events", "default", "thief", 0, [row["message_id"]])
        await publish(backend, 2)
        await until_true(lambda: LOST in caplog.text)
        await anyio.sleep(0.3)
        assert functions.begun == [1], "its place is taken"
        functions.may_end.set()
        await until_true(lambda: 2 in functions.begun)
    assert max(functions.together) == (1, 1)


@pytest.mark.parametrize("how", ["shutdown", "close"])
@pytest.mark.parametrize("before", ["", BEYOND, LOST])
async def test_the_end_of_a_worker_does_not_wait_for_a_function(
    make_backend: MakeBackend,
    redis: Redis,
    functions: Functions,
    caplog: pytest.LogCaptureFixture,
    how: str,
    before: str,
) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.6)
    await publish(backend, 1)
    timeout = 0.05 if before == BEYOND else None
    worker = EventWorker(backend, functions.handle, handler_timeout=timeout, drain_seconds=0.05)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until_true(lambda: functions.begun)
            if before == LOST:
                (row,) = await redis.xpending_range("slack_events", "default", "-", "+", 9)
                await redis.xclaim("slack_events", "default", "thief", 0, [row["message_id"]])
            await until_true(lambda: before in caplog.text)
            await (worker.shutdown() if how == "shutdown" else backend.close())
    assert functions.at_work[1] == 1
    assert (worker.handled, worker.failed, worker.given_back) == (0, 0, 0)
    assert caplog.text.count("goes on in a thread, which nothing can stop; this worker no longer waits") == 1


@pytest.mark.parametrize("how", ["shutdown", "close"])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.promise("A function that is still at work half a second after its worker has ended")
async def test_an_event_stays_under_its_lease_while_its_function_goes_on(
    make_backend: MakeBackend, redis: Redis, functions: Functions, how: str, *, ordered: bool
) -> None:
    """Another worker would begin it beside the function."""
    backend = make_backend(redis_stream_lease_seconds=600)
    await backend.publish("slack_events", {"n": 1, "type": "message", "channel": "C1"})
    worker = EventWorker(backend, functions.handle, drain_seconds=1, ordered=ordered)
    others = list[int]()
    other = EventWorker(make_backend(), lambda event: others.append(event["n"]), ordered=ordered)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until_true(lambda: functions.begun)
        async with at_work(other):
            await anyio.sleep(0.3)
            await (worker.shutdown() if how == "shutdown" else backend.close())
            await anyio.sleep(3)  # in which the other would begin it
    assert functions.at_work[1] == 1
    assert not others
    row: Any
    (row,) = await redis.xpending_range("slack_events", "default", "-", "+", 9)
    assert row["consumer"] != b"abe:nobody"
    assert row["time_since_delivered"] < 600_000
    if ordered:
        assert await redis.exists("abe:owner:{slack_events}:default")


@pytest.mark.parametrize("how", ["shutdown", "close"])
async def test_a_function_that_ends_when_its_worker_does_gives_its_event_back(
    make_backend: MakeBackend, redis: Redis, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It sees that soon, on a busy machine a bit later.
    monkeypatch.setattr(threads, "_MOMENT_SECONDS", PATIENCE)
    monkeypatch.setattr(group_consumer, "CLOSE_SECONDS", PATIENCE)
    monkeypatch.setattr(handling_tasks, "LEAVE_SECONDS", PATIENCE)
    begun, is_over = threading.Event(), threading.Event()

    def handle(_: Event) -> None:
        begun.set()
        while not is_over.wait(0.01):
            anyio.from_thread.check_cancelled()

    backend = make_backend(redis_stream_lease_seconds=600)
    await publish(backend, 1)
    worker = EventWorker(backend, handle, drain_seconds=0.05)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until_true(begun.is_set)
            await (worker.shutdown() if how == "shutdown" else backend.close())
    is_over.set()
    (row,) = await redis.xpending_range("slack_events", "default", "-", "+", 9)
    assert (row["consumer"], worker.given_back) == (b"abe:nobody", 1)


async def test_a_function_beyond_the_longest_handling_keeps_its_place_alone(
    make_backend: MakeBackend, redis: Redis, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    """Its result does not count, as docs/library.md says, and the event is delivered again."""
    backend = make_backend(redis_stream_lease_seconds=1, redis_stream_max_handling_seconds=1)
    deliveries = list[int]()

    def handle(event: Event) -> None:
        deliveries.append(event.deliveries)
        if event.deliveries == 1:
            functions.handle(event)

    await publish(backend, 1)
    async with at_work(EventWorker(backend, handle)):
        await until_true(lambda: "its result does not count" in caplog.text)
        functions.may_end.set()
        await until(nothing_pending(redis))
    assert deliveries == [1, 2]

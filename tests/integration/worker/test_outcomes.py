"""What a worker says became of each event: to who watches, in its counters, in the log, to its caller."""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, override

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Bury, Drop, Event, EventWorker, RedisMessageQueueBackend, Retry
from abe_redis.observability.hooks import EndOfHandling, Observer, observed
from abe_redis.runtime.exception_groups import equal_failures_as_one
from tests.integration.conftest import MakeBackend, take_away, take_one, until
from tests.patience import PATIENCE

LOGGER = "abe_redis.worker.event_worker"


class Outcomes(Observer):
    """What became of each delivery, in order, with what its handler raised."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, str, str]] = []

    @override
    def handling(self, event: Event) -> EndOfHandling:
        return lambda outcome, error: self.told.append((event["n"], outcome, type(error).__name__))


@pytest.fixture
def outcomes() -> Iterator[Outcomes]:
    watching = Outcomes()
    with observed(watching):
        yield watching


async def publish(backend: RedisMessageQueueBackend, *numbers: int) -> None:
    for number in numbers:
        await backend.publish("slack_events", {"n": number})


@asynccontextmanager
async def at_work(worker: EventWorker) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        yield
        await worker.shutdown()


async def until_true(condition: Callable[[], Any]) -> None:
    async def check() -> bool:
        return bool(condition())

    await until(check)


async def test_a_settlement_reports_the_result_of_each_id(
    backend: RedisMessageQueueBackend, outcomes: Outcomes, caplog: pytest.LogCaptureFixture
) -> None:
    decisions: dict[int, Bury | Drop | Retry] = {1: Bury("because"), 2: Drop(), 3: Retry(0)}

    async def handle(event: Event) -> None:
        if event["n"] in decisions and event.deliveries == 1:
            raise LookupError("no such channel")

    await publish(backend, 0, 1, 2, 3)
    worker = EventWorker(backend, handle, policy=lambda event, _error: decisions[event["n"]])
    async with at_work(worker):
        await until_true(lambda: len(outcomes.told) == 5)
    assert sorted(outcomes.told) == [
        (0, "done", "NoneType"),
        (1, "buried", "LookupError"),
        (2, "dropped", "LookupError"),
        (3, "done", "NoneType"),
        (3, "retried", "LookupError"),
    ]
    assert (worker.handled, worker.failed, worker.given_back) == (2, 3, 0)
    warnings = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert ["failed at delivery 1 with LookupError" in text for text in warnings] == [True] * 3


@pytest.mark.parametrize("tells", [True, False], ids=["a failure", "nothing"])
async def test_a_lost_event_is_not_a_failure(
    make_backend: MakeBackend,
    redis: Redis,
    outcomes: Outcomes,
    caplog: pytest.LogCaptureFixture,
    tells: bool,
) -> None:
    """Even if the handler turns its cancellation into an error of its own."""
    decided: list[Exception] = []

    async def handle(event: Event) -> None:
        await take_away(redis, "slack_events", [event.id], "thief")
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as error:
            if tells:
                raise LookupError("broken off") from error
            raise

    def policy(_: Event, error: Exception) -> Retry:
        decided.append(error)
        return Retry(0)

    backend = make_backend(redis_stream_lease_seconds=0.6)
    await publish(backend, 1)
    worker = EventWorker(backend, handle, policy=policy)
    async with at_work(worker):
        await until_true(lambda: outcomes.told)
    assert outcomes.told == [(1, "lost", "NoneType")]
    assert decided == []
    assert (worker.handled, worker.failed, worker.given_back) == (0, 0, 0)
    assert "was cancelled: its lease was lost" in caplog.text


async def test_a_failure_of_what_another_has_is_told_as_lost(
    make_backend: MakeBackend, redis: Redis, outcomes: Outcomes
) -> None:
    backend = make_backend(redis_stream_lease_seconds=3600)  # no renewal finds out before the handler fails

    async def handle(event: Event) -> None:
        await redis.xclaim("slack_events", "default", "other", 0, [event.id])
        raise LookupError("no such channel")

    await publish(backend, 1)
    async with at_work(EventWorker(backend, handle)):
        await until_true(lambda: outcomes.told)
    assert outcomes.told == [(1, "lost", "LookupError")]


async def test_an_event_whose_handler_misses_the_drain_is_given_back_and_counted(
    make_backend: MakeBackend, outcomes: Outcomes, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[int] = []

    async def handle(event: Event) -> None:
        begun.append(event["n"])
        await anyio.sleep_forever()

    backend = make_backend()
    await publish(backend, 1, 2)
    worker = EventWorker(backend, handle, concurrency=2, drain_seconds=0.05)
    async with at_work(worker):
        await until_true(lambda: len(begun) == 2)
    assert sorted(outcomes.told) == [(1, "given_back", "NoneType"), (2, "given_back", "NoneType")]
    assert (worker.handled, worker.failed, worker.given_back) == (0, 0, 2)
    assert "Handlers did not end within 0.05 s: they are cancelled and give their events back" in caplog.text


async def test_shutdown_tells_how_many_are_at_work(
    backend: RedisMessageQueueBackend, outcomes: Outcomes, caplog: pytest.LogCaptureFixture
) -> None:
    """Others than those that have ended; by default they have 25 seconds."""
    caplog.set_level(logging.INFO, logger=LOGGER)
    gate, at_gate = anyio.Event(), 0

    async def handle(event: Event) -> None:
        nonlocal at_gate
        if event["n"] >= 3:
            at_gate += 1
            await gate.wait()

    await publish(backend, *range(5))
    worker = EventWorker(backend, handle, concurrency=3)
    async with at_work(worker):
        await until_true(lambda: at_gate == 2 and len(outcomes.told) == 3)
        await worker.shutdown()
        assert "Taking no more events; at work: 2, for 25 s at most." in caplog.text
        gate.set()
    assert (worker.handled, worker.given_back) == (5, 0)


async def test_a_worker_does_not_wait_for_a_thread_that_is_stuck(
    make_backend: MakeBackend, outcomes: Outcomes
) -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def handle(_: Event) -> None:
        begun.set()
        release.wait(PATIENCE)
        ended.set()

    await publish(make_backend(), 1)
    worker = EventWorker(make_backend(), handle, drain_seconds=0.05)
    try:
        async with at_work(worker):
            await until_true(begun.is_set)
        assert not ended.is_set()
    finally:
        release.set()
    assert outcomes.told == [(1, "given_back", "NoneType")]
    async with make_backend().consume() as events:
        assert (await take_one(events)).deliveries == 2


async def test_one_at_a_time_is_the_default(backend: RedisMessageQueueBackend, outcomes: Outcomes) -> None:
    running = most = 0

    async def handle(_: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.001)
        running -= 1

    await publish(backend, *range(20))
    async with at_work(EventWorker(backend, handle)):
        await until_true(lambda: len(outcomes.told) == 20)
    assert most == 1


async def test_others_have_their_turn_between_events_even_if_a_handler_never_waits(
    backend: RedisMessageQueueBackend,
) -> None:
    turns = 0
    seen: list[int] = []

    async def handle(_: Event) -> None:
        seen.append(turns)

    await publish(backend, *range(200))
    async with at_work(EventWorker(backend, handle)):
        with anyio.fail_after(PATIENCE):
            while len(seen) < 200:
                turns += 1
                await anyio.lowlevel.checkpoint()
    assert len(set(seen)) == 200


@pytest.mark.promise("two messages that people write one after the other may be handled at the same time")
async def test_without_order_a_conversation_is_handled_at_several_places(
    backend: RedisMessageQueueBackend,
) -> None:
    begun: list[int] = []

    async def handle(event: Event) -> None:
        begun.append(event["n"])
        await until_true(lambda: len(begun) == 2)

    for number in range(2):
        await backend.publish("slack_events", {"type": "message", "channel": "C1", "n": number})
    worker = EventWorker(backend, handle, concurrency=2)
    async with at_work(worker):
        await until_true(lambda: worker.handled == 2)


def test_failures_that_came_together_stay_together() -> None:
    both = ExceptionGroup("both", [LookupError(), ArithmeticError()])
    with pytest.raises(ExceptionGroup, match="both") as found, equal_failures_as_one():
        raise ExceptionGroup("outer", [both])
    assert found.value is both


class MuteError(Exception):
    """Fails when it is asked what it says."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [ValueError("\ud800"), MuteError()], ids=["no_text", "mute"])
@pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])
async def test_an_exception_that_cannot_be_written_ends_no_worker(
    make_backend: MakeBackend, outcomes: Outcomes, error: Exception, ordered: bool
) -> None:
    backend = make_backend(redis_stream_max_deliveries=2)

    async def handle(event: Event) -> None:
        if event["n"] == 0:
            raise error

    await publish(backend, 0, 1)
    worker = EventWorker(
        backend, handle, ordered=ordered, policy=Backoff(first=0.01, most=0.01, deliveries=2)
    )
    async with at_work(worker):
        await until_true(lambda: len(outcomes.told) == 3)
    assert sorted(told[:2] for told in outcomes.told) == [(0, "buried"), (0, "retried"), (1, "done")]

"""Functions beyond their limit that hold places of a worker: who looks at it learns of them."""

import inspect
import re
from contextlib import suppress

import anyio
import anyio.to_thread
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend
from abe_redis.observability.hooks import observed
from abe_redis.observability.metrics.collectors import Metrics
from abe_redis.schemas import StreamStats
from abe_redis.worker import insistence, overdue
from tests.command_line import run_command
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.test_threads import Functions, functions, until_true
from tests.integration.worker.worker_at_work import at_work, nothing_pending, publish

__all__ = ["functions"]

STANDS_STILL = "This worker takes no events: "
GOES_ON = "This worker takes events again: "


def overdue_now(metrics: Metrics) -> float | None:
    labels = {"stream": "slack_events", "group": "default"}
    return metrics.registry.get_sample_value("abe_redis_handlers_overdue", labels)


async def test_a_worker_whose_places_are_all_held_says_so_again_and_again_with_where(
    backend: RedisMessageQueueBackend,
    redis: Redis,
    functions: Functions,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overdue, "AGAIN_SECONDS", 0.05)
    await publish(backend, 0, 1, 2)
    metrics = Metrics()
    worker = EventWorker(backend, functions.handle, concurrency=2, handler_timeout=1.2)
    with observed(metrics):
        async with at_work(worker):
            await until_true(lambda: caplog.text.count(STANDS_STILL) > 2)
            assert overdue_now(metrics) == 2
            said = next(one for one in caplog.messages if one.startswith(STANDS_STILL))
            functions.may_end.set()
            await until(nothing_pending(redis))
            await until_true(lambda: overdue_now(metrics) == 0)
            times = caplog.text.count(STANDS_STILL)
            await anyio.sleep(0.2)
    first = inspect.getsourcelines(Functions.handle)[1]
    lines = range(first, first + len(inspect.getsourcelines(Functions.handle)[0]))
    found = re.search(
        r"handlers beyond their limit hold all its places \(2\), and nothing can stop them\. The "
        r"longest, \S*Functions\.handle of \d+-\d+ of 'slack_events', has gone on for [1-9]\d* s at "
        r"\S*worker/test_threads\.py:(\d+) in handle\. Give what it waits for a limit of its own, and "
        r"restart this worker: others then handle its events\.",
        said,
    )
    assert found, said
    assert int(found[1]) in lines
    assert caplog.text.count(GOES_ON) == 1
    assert caplog.text.count(STANDS_STILL) == times, "it stops when a place is free"


async def test_a_coroutine_that_swallows_its_cancellation_is_named_and_counts_as_one_that_holds_its_place(
    backend: RedisMessageQueueBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insistence, "OUTLASTS_SECONDS", 0.05)
    may_end = anyio.Event()

    async def handle(_: Event) -> None:
        while not may_end.is_set():
            with suppress(BaseException):
                await may_end.wait()

    await publish(backend, 0, 1)
    metrics = Metrics()
    with observed(metrics):
        async with at_work(EventWorker(backend, handle, concurrency=1, handler_timeout=0.05)):
            await until_true(lambda: STANDS_STILL in caplog.text)
            assert "goes on although it was cancelled" in caplog.text
            assert overdue_now(metrics) == 1
            may_end.set()
            await until(nothing_pending(redis))
            await until_true(lambda: overdue_now(metrics) == 0)
    assert GOES_ON in caplog.text


async def test_a_worker_with_a_free_place_counts_those_that_are_held_and_goes_on(
    backend: RedisMessageQueueBackend, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(backend, *range(5))
    metrics, handled = Metrics(), list[int]()

    def handle(event: Event) -> None:
        if event["n"] == 0:
            functions.handle(event)
        handled.append(event["n"])

    # The other four end at once, but a busy machine may not run their threads for a while.
    worker = EventWorker(backend, handle, concurrency=2, handler_timeout=2)
    with observed(metrics):
        async with at_work(worker):
            await until_true(lambda: len(handled) == 4 and overdue_now(metrics))
            assert overdue_now(metrics) == 1
            functions.may_end.set()
            await until_true(lambda: overdue_now(metrics) == 0)
    assert sorted(handled) == list(range(5))
    assert STANDS_STILL not in caplog.text
    assert GOES_ON not in caplog.text


async def test_a_function_without_a_limit_is_overdue_when_its_lease_is_lost(
    make_backend: MakeBackend, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_lease_seconds=1, redis_stream_max_handling_seconds=1)
    await publish(backend, 0)
    metrics = Metrics()
    with observed(metrics):
        async with at_work(EventWorker(backend, functions.handle)):
            await until_true(lambda: overdue_now(metrics) == 1)
            await until_true(lambda: STANDS_STILL in caplog.text)
            functions.may_end.set()
            await until_true(lambda: overdue_now(metrics) == 0)


async def test_a_worker_that_leaves_a_function_behind_no_longer_counts_it(
    backend: RedisMessageQueueBackend, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(backend, 0)
    metrics = Metrics()
    worker = EventWorker(backend, functions.handle, handler_timeout=0.05, drain_seconds=0)
    with observed(metrics):
        async with at_work(worker):
            await until_true(lambda: STANDS_STILL in caplog.text)
        assert overdue_now(metrics) == 0
    assert GOES_ON not in caplog.text


async def test_who_looks_learns_soon_that_a_worker_takes_no_events(
    make_backend: MakeBackend, redis_url: str, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its next renewal, long before the events have waited for long or a lease is over."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    backend = make_backend(redis_stream_lease_seconds=3)
    operations = Operations(make_backend())
    await publish(backend, 0, 1, 2)

    async def stream() -> StreamStats:
        (found,) = await operations.glance(stream="slack_events")
        return found

    async def stands_still() -> StreamStats | None:
        found = await stream()
        is_said = any(one.full and one.alive for group in found.groups for one in group.consumers)
        return found if is_said and found.health == "stalled" else None

    async def goes_on() -> bool:
        found = await stream()
        is_any_full = any(one.full for group in found.groups for one in group.consumers)
        return found.health in {"ok", "working"} and not is_any_full

    async with at_work(EventWorker(backend, functions.handle, concurrency=2, handler_timeout=0.05)):
        found = await until(stands_still)
        (one,) = found.groups[0].consumers
        advice = (
            rf"Consumer '{one.name}' of group 'default' takes no events: functions beyond their limit hold "
            rf"all its places, {one.holds} for \d+ (s|min)\. See where they wait"
        )
        assert re.search(advice, found.advice), found.advice
        checked = await anyio.to_thread.run_sync(run_command, "stats", "--check")
        assert checked.returncode == 1, checked.stderr
        functions.may_end.set()
        await until(goes_on)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_worker_whose_functions_hold_all_places_beyond_their_leases_is_seen_alive(
    make_backend: MakeBackend,
    redis: Redis,
    functions: Functions,
    caplog: pytest.LogCaptureFixture,
    ordered: bool,
) -> None:
    """It does not renew these leases, and it is not gone: who looks learns what to do."""
    backend = make_backend(redis_stream_lease_seconds=1, redis_stream_max_handling_seconds=1)
    await publish(backend, 0)
    operations = Operations(make_backend(redis_stream_lease_seconds=1))

    async def advised() -> str:
        (stream,) = await operations.glance(stream="slack_events", ages=True)
        (group,) = stream.groups
        (consumer,) = group.consumers
        is_told = consumer.alive and (consumer.held_seconds or 0) > 3
        return stream.advice if is_told else ""

    async with at_work(EventWorker(backend, functions.handle, ordered=ordered)):
        await until_true(lambda: STANDS_STILL in caplog.text)
        await anyio.sleep(3)  # longer than a lease
        assert "restart that worker" in await until(advised)
        functions.may_end.set()
        await until(nothing_pending(redis))

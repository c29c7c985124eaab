"""What the log says of functions, which nothing can stop, when their worker ends."""

import time
from typing import Any

import anyio
import anyio.from_thread
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.worker import threads
from abe_redis.worker.threads import current_slot
from tests.integration.conftest import until
from tests.integration.worker.test_overdue import GOES_ON, STANDS_STILL
from tests.integration.worker.test_threads import Functions, functions, until_true
from tests.integration.worker.worker_at_work import at_work, nothing_pending, publish
from tests.patience import PATIENCE

__all__ = ["functions"]


async def test_at_the_end_a_function_is_not_said_to_be_cancelled_or_to_give_its_event_back(
    backend: RedisMessageQueueBackend, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(backend, 0)
    worker = EventWorker(backend, functions.handle, drain_seconds=0.05)
    async with at_work(worker):
        await until_true(lambda: functions.begun)
    assert "they run in threads, which nothing can stop: their events are not given back" in caplog.text
    assert "goes on in a thread, which nothing can stop" in caplog.text
    assert "was cancelled" not in caplog.text
    assert "cancelled and give" not in caplog.text
    assert worker.given_back == 0


async def test_at_the_end_functions_and_coroutines_are_told_apart(
    backend: RedisMessageQueueBackend, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(backend, 0, 1)

    class Both:
        def __call__(self, event: Event) -> Any:
            if event["n"]:
                functions.begun.append(1)
                return anyio.sleep_forever()
            return functions.handle(event)

    worker = EventWorker(backend, Both(), concurrency=2, drain_seconds=0.05)
    async with at_work(worker):
        await until_true(lambda: len(functions.begun) == 2)
    said = "they are cancelled and give their events back at their end, but 1 run in threads, which nothing"
    assert said in caplog.text
    assert caplog.text.count("was cancelled: the worker ends.") == 1
    assert caplog.text.count("goes on in a thread, which nothing can stop") == 1
    assert worker.given_back == 1


async def test_a_function_that_sees_the_end_gives_its_event_back_and_says_so(
    backend: RedisMessageQueueBackend, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_MOMENT_SECONDS", PATIENCE)
    begun = list[Event]()

    def handle(event: Event) -> None:
        begun.append(event)
        while True:
            anyio.from_thread.check_cancelled()
            time.sleep(0.01)

    await publish(backend, 0)
    worker = EventWorker(backend, handle, drain_seconds=0.05)
    async with at_work(worker):
        await until_true(lambda: begun)
    assert caplog.text.count("was cancelled: the worker ends.") == 1
    assert "goes on in a thread" not in caplog.text
    assert worker.given_back == 1


async def test_a_worker_that_ends_does_not_take_events_again(
    backend: RedisMessageQueueBackend, redis: Redis, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(backend, 0)
    worker = EventWorker(backend, functions.handle, handler_timeout=0.05, drain_seconds=PATIENCE)
    async with at_work(worker):
        await until_true(lambda: STANDS_STILL in caplog.text)
        await worker.shutdown()
        functions.may_end.set()
        await until(nothing_pending(redis))
    assert GOES_ON not in caplog.text


async def test_what_takes_events_again_is_named_as_what_took_none(
    backend: RedisMessageQueueBackend, functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    """A Bolt app's listener, whose name the slot has only while it runs."""

    def handle(event: Event) -> None:
        slot = current_slot()
        assert slot is not None
        slot.function = "bot.slow"
        functions.handle(event)
        slot.function = None

    await publish(backend, 0)
    async with at_work(EventWorker(backend, handle, handler_timeout=0.05)):
        await until_true(lambda: STANDS_STILL in caplog.text)
        functions.may_end.set()
        await until_true(lambda: GOES_ON in caplog.text)
    (said,) = [one for one in caplog.messages if one.startswith(GOES_ON)]
    assert said.startswith(f"{GOES_ON}bot.slow of ")

"""What leaks out of a coroutine handler is its own failure: it ends no worker and no other handler."""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.errors import RedisRefusedError
from abe_redis.worker import failure_log
from tests.integration.conftest import MakeBackend, pending, take_away, until
from tests.integration.worker.leaky_worker import (
    DEAD,
    STREAM,
    TWICE,
    _is,
    at_work,
    awaits_a_cancelled_task,
    publish,
    reasons,
    thread_exits,
)
from tests.servers import Server


async def awaits_a_task_that_is_cancelled_later(_: Any) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    await task


async def awaits_a_cancelled_future(_: Any) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel("somebody gave up")
    await future


async def gathers_a_cancelled_task(_: Any) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.gather(asyncio.sleep(0), task)


async def raises_cancelled(_: Any) -> None:
    raise asyncio.CancelledError


async def cancels_itself(_: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def raises_generator_exit(_: Any) -> None:
    raise GeneratorExit


async def raises_keyboard_interrupt(_: Any) -> None:
    raise KeyboardInterrupt


async def exits(_: Any) -> None:
    sys.exit(3)


async def raises_a_group_of_base_exceptions(_: Any) -> None:
    raise BaseExceptionGroup("all of it", [asyncio.CancelledError(), GeneratorExit(), ValueError("bad")])


async def raises_a_group_with_an_exit(_: Any) -> None:
    raise BaseExceptionGroup("of a task group", [SystemExit(3)])


async def raises_a_deep_group(_: Any) -> None:
    """As task groups that start task groups; deeper than Python allows calls."""
    error: Exception = ValueError("deep down")
    for _level in range(3000):
        error = ExceptionGroup("of a task group", [error])
    raise error


class SlackApiError(Exception):
    """As slack_sdk's, but for an answer that cannot be read."""

    @property
    def response(self) -> Any:
        raise SystemExit(3)


async def raises_what_cannot_be_read(_: Any) -> None:
    raise SlackApiError("no answer")


async def raises_a_circle_of_causes(_: Any) -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


async def times_out_by_itself(_: Any) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)


async def raises_a_foreign_timeout(_: Any) -> None:
    raise TimeoutError("the service was slow")


async def times_out_as_old_libraries_do(_: Any) -> None:
    """They cancel the task and never take that back."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise TimeoutError("the library's own") from None


@pytest.mark.promise("Every exception that a handler lets out is a failure of that handler alone")
@pytest.mark.parametrize(
    ("leaky", "says"),
    [
        (awaits_a_cancelled_task, "CancelledError"),
        (awaits_a_task_that_is_cancelled_later, "CancelledError"),
        (awaits_a_cancelled_future, "CancelledError: somebody gave up"),
        (gathers_a_cancelled_task, "CancelledError"),
        (raises_cancelled, "CancelledError"),
        (cancels_itself, "CancelledError"),
        (raises_generator_exit, "GeneratorExit"),
        (raises_keyboard_interrupt, "KeyboardInterrupt"),
        (exits, "sys.exit(3)"),
        (raises_a_group_of_base_exceptions, "ValueError: bad"),
        (raises_a_group_with_an_exit, "sys.exit(3)"),
        (raises_a_deep_group, "ValueError: deep down"),
        (raises_what_cannot_be_read, "SlackApiError: no answer"),
        (raises_a_circle_of_causes, "ValueError: first"),
        (times_out_by_itself, "TimeoutError"),
        (raises_a_foreign_timeout, "TimeoutError: the service was slow"),
        (times_out_as_old_libraries_do, "TimeoutError: the library's own"),
    ],
)
async def test_whatever_leaks_out_of_a_handler_is_its_own_failure(
    make_backend: MakeBackend, redis: Redis, leaky: Callable[[Any], Any], says: str
) -> None:
    """The event is retried and buried with the cause; what others have in hand goes on."""
    backend = make_backend()
    running, go_on, ended = anyio.Event(), anyio.Event(), list[int]()

    async def handle(event: Event) -> None:
        if event["n"] == 1:
            running.set()
            await go_on.wait()
        elif event["n"] == 2:
            await running.wait()
            await leaky(event)
        ended.append(event["n"])

    worker = EventWorker(backend, handle, concurrency=3, policy=TWICE)
    await publish(backend, 1, 2, 3)
    async with at_work(worker):
        await until(lambda: redis.xlen(DEAD))
        go_on.set()
        await publish(backend, 4)
        await until(lambda: _is(lambda: set(ended) == {1, 3, 4}))
    (reason,) = await reasons(redis)
    assert "failed 2 times" in reason
    assert says in reason
    assert await pending(redis, STREAM) == 0
    assert Counter(ended) == {1: 1, 3: 1, 4: 1}, "a handler was disturbed"
    assert (worker.handled, worker.failed, worker.given_back) == (3, 2, 0)


async def test_a_worker_that_fails_itself_begins_nothing_of_a_conversation_that_waits(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, others = list[int](), anyio.Event()

    def fails(*_: object) -> str:
        raise RuntimeError("a fault of ours")

    async def handle(event: Event) -> None:
        started.append(event["n"])
        if event["event"]["channel"] == "C2":
            await others.wait()  # which leaves a task that waits for an event
        raise ValueError("not yet")

    monkeypatch.setattr(failure_log, "tell", fails)
    backend = make_backend()
    for number, channel in enumerate(("C2", "C1", "C1", "C1")):
        await backend.publish(STREAM, {"n": number, "event": {"channel": channel}})
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await EventWorker(backend, handle, concurrency=3, ordered=True).run()
    assert started == [0, 1]


async def test_a_handler_that_cancels_itself_and_returns_has_succeeded(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """Its cancellation would strike whoever awaits next in the same task."""
    backend = make_backend()
    ended = list[int]()

    async def handle(event: Event) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        ended.append(event["n"])

    worker = EventWorker(backend, handle)
    await publish(backend, 1, 2, 3)
    async with at_work(worker):
        await until(lambda: _is(lambda: len(ended) == 3))
    assert ended == [1, 2, 3]
    assert (worker.handled, worker.failed) == (3, 0)
    assert await pending(redis, STREAM) == 0


async def test_a_leak_beside_a_lost_lease_does_not_end_the_worker(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """The lease is lost while a cancellation of the handler's own has not been taken back."""
    backend = make_backend(redis_stream_lease_seconds=1)
    started, ended = anyio.Event(), list[int]()

    async def handle(event: Event) -> None:
        if event["n"] == 1:
            started.set()
            with contextlib.suppress(TimeoutError):
                await times_out_as_old_libraries_do(event)
            await asyncio.sleep(60)
        ended.append(event["n"])

    worker = EventWorker(backend, handle)
    await publish(backend, 1)
    async with at_work(worker):
        await started.wait()
        (row,) = await redis.xpending_range(STREAM, "default", "-", "+", 1)
        await take_away(redis, STREAM, [row["message_id"]], "thief")
        await publish(backend, 2)
        await until(lambda: _is(lambda: ended == [2]))
    assert worker.failed == 0


async def test_equal_failures_of_many_slots_are_one(own_server: Server) -> None:
    """A sentence, at any concurrency."""
    with own_server.admin() as redis:
        redis.execute_command("ACL", "SETUSER", "default", "-xreadgroup", "-eval", "-evalsha")
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        for concurrency in (1, 8):
            with pytest.raises(RedisRefusedError):
                await EventWorker(backend, thread_exits, concurrency=concurrency).run()

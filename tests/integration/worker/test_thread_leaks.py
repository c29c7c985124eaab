"""What leaks out of a plain function in its thread is that function's failure."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.leaky_worker import (
    DEAD,
    TWICE,
    _is,
    at_work,
    awaits_a_cancelled_task,
    publish,
    reasons,
    thread_exits,
)


def thread_raises_cancelled(_: Any) -> None:
    raise asyncio.CancelledError


def thread_runs_a_loop_that_is_cancelled(_: Any) -> None:
    asyncio.run(awaits_a_cancelled_task(None))


def thread_raises_keyboard_interrupt(_: Any) -> None:
    raise KeyboardInterrupt


def thread_raises_generator_exit(_: Any) -> None:
    raise GeneratorExit


def thread_raises_stop_iteration(_: Any) -> None:
    next(iter(()))


@pytest.mark.promise("Every exception that a handler lets out is a failure of that handler alone")
@pytest.mark.parametrize(
    ("leaky", "says"),
    [
        (thread_raises_cancelled, "CancelledError"),
        (thread_runs_a_loop_that_is_cancelled, "CancelledError"),
        (thread_raises_generator_exit, "GeneratorExit"),
        (thread_raises_keyboard_interrupt, "KeyboardInterrupt"),
        (thread_exits, "sys.exit('no more')"),
        (thread_raises_stop_iteration, "StopIteration"),
    ],
)
async def test_whatever_leaks_out_of_a_plain_function_is_its_own_failure(
    make_backend: MakeBackend, redis: Redis, leaky: Callable[[Any], Any], says: str
) -> None:
    backend = make_backend()
    ended = list[int]()

    def handle(event: Event) -> None:
        if event["n"] == 1:
            leaky(event)
        ended.append(event["n"])

    worker = EventWorker(backend, handle, policy=TWICE)
    await publish(backend, 1, 2)
    async with at_work(worker):
        await until(lambda: redis.xlen(DEAD))
        await until(lambda: _is(lambda: ended == [2]))
    assert says in (await reasons(redis))[0]

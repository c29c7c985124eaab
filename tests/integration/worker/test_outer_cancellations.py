"""Who really was cancelled: the worker by its caller, a handler by itself, or by what another left open."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Bury, Event, EventWorker
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.leaky_worker import DEAD, _is, at_work, publish, reasons

# --- What a handler leaves behind -----------------------------------------------------------------------


async def a_stream_with_a_time_limit() -> AsyncGenerator[int]:
    async with asyncio.timeout(0.2):
        yield 1
        yield 2


async def a_stream_in_a_scope() -> AsyncGenerator[int]:
    with anyio.move_on_after(0.2):
        yield 1
        yield 2


async def a_stream_in_a_task_group() -> AsyncGenerator[int]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 60)
        yield 1
        yield 2


async def a_stream_that_was_to_be_cancelled() -> AsyncGenerator[int]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.2, task.cancel)
    yield 1
    yield 2


@pytest.mark.promise("Each handler runs in a task of its own, so what it leaves behind harms no other")
@pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])
@pytest.mark.parametrize(
    "stream",
    [
        a_stream_with_a_time_limit,
        a_stream_in_a_scope,
        a_stream_in_a_task_group,
        a_stream_that_was_to_be_cancelled,
    ],
)
async def test_what_a_handler_leaves_open_strikes_no_other(
    make_backend: MakeBackend, redis: Redis, stream: Callable[[], AsyncGenerator[int]], ordered: bool
) -> None:
    """As with a client whose answers come in a stream that the handler leaves at the first one."""
    backend = make_backend()
    left_open, ended = list[AsyncGenerator[int]](), list[int]()

    async def handle(event: Event) -> None:
        if event["n"] == 1:
            answers = stream()
            left_open.append(answers)
            async for _ in answers:
                break
        else:
            await asyncio.sleep(0.3)  # the time of what was left open is over
        ended.append(event["n"])

    worker = EventWorker(backend, handle, ordered=ordered, policy=lambda *_: Bury("a failure"))
    await publish(backend, 1, 2, 3)
    async with at_work(worker):
        await until(lambda: _is(lambda: len(ended) == 3))
        await anyio.sleep(0.3)
        await publish(backend, 4)
        await until(lambda: _is(lambda: len(ended) == 4))
    for answers in left_open:  # which fails in a task that did not open it
        with contextlib.suppress(RuntimeError):
            await answers.aclose()
    assert ended == [1, 2, 3, 4]
    assert (worker.handled, worker.failed, worker.given_back) == (4, 0, 0)
    assert not await redis.exists(DEAD)


# --- Who really was cancelled ---------------------------------------------------------------------------


async def test_a_time_limit_around_the_worker_is_its_callers(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()
    started = asyncio.Event()

    async def handle(_: Event) -> None:
        started.set()
        await asyncio.sleep(60)

    worker = EventWorker(backend, handle, policy=lambda *_: Bury("a failure"))
    await publish(backend, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.run())
                await started.wait()
                limit.reschedule(asyncio.get_running_loop().time())
    assert (worker.handled, worker.failed, worker.given_back) == (0, 0, 1)
    assert not await redis.exists(DEAD)


@pytest.mark.promise("The worker asks its own task and scopes whether it was cancelled itself")
async def test_when_all_tasks_are_cancelled_no_handler_has_failed(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """As `asyncio.run` does at its end, in any order."""
    backend = make_backend()
    started = 0

    async def handle(_: Event) -> None:
        nonlocal started
        started += 1
        await asyncio.sleep(60)

    worker = EventWorker(backend, handle, concurrency=8, policy=lambda *_: Bury("a failure"))
    await publish(backend, *range(8))
    before = asyncio.all_tasks()
    run = asyncio.create_task(worker.run())
    await until(lambda: _is(lambda: started == 8))
    of_the_worker = [
        task for task in asyncio.all_tasks() - before if task.get_name().endswith("HandlingTasks._work")
    ]
    assert len(of_the_worker) == 8
    for task in (*of_the_worker, run):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (worker.handled, worker.failed, worker.given_back) == (0, 0, 8)
    assert not await redis.exists(DEAD)


async def test_the_time_limit_of_the_worker_is_told_from_the_handlers_own(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend()

    async def handle(event: Event) -> None:
        if event["n"] == 1:
            await asyncio.sleep(60)
        if event["n"] == 2:
            raise TimeoutError("my own")
        task = asyncio.create_task(asyncio.sleep(60))  # our limit is felt as that task's cancellation
        await asyncio.gather(task)

    worker = EventWorker(
        backend, handle, handler_timeout=0.2, concurrency=3, policy=Backoff(first=0, deliveries=1)
    )
    await publish(backend, 1, 2, 3)
    async with at_work(worker):
        await until(lambda: _length(redis, 3))
    found = sorted(reason.partition("last with ")[2] for reason in await reasons(redis))
    assert found == [
        "TimeoutError: my own",
        "TimeoutError: the handler took longer than 0.2 s",
        "TimeoutError: the handler took longer than 0.2 s",
    ]


async def _length(redis: Redis, length: int) -> bool:
    return int(await redis.xlen(DEAD)) == length

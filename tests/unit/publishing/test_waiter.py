"""The future whose task runs when the result arrives."""

import asyncio
import contextvars

import pytest

from abe_redis.publishing.waiter import Waiter
from tests.unit.fake_server import turns


def waiter() -> Waiter[int]:
    return Waiter(loop=asyncio.get_running_loop())


async def waiting(on: Waiter[int], done: list[int]) -> int:
    done.append(await on)
    return done[-1]


async def test_the_task_runs_when_the_result_arrives() -> None:
    future, done = waiter(), list[int]()
    task = asyncio.create_task(waiting(future, done))
    await turns()
    asyncio.get_running_loop().call_soon(future.resume, 1)
    asyncio.get_running_loop().call_soon(done.append, 2)
    assert await task == 1
    assert done == [1, 2]


async def test_the_task_runs_in_its_own_context() -> None:
    name = contextvars.ContextVar("name", default="none")
    future = waiter()

    async def named() -> str:
        name.set("mine")
        await future
        return name.get()

    task = asyncio.create_task(named())
    await turns()
    asyncio.get_running_loop().call_soon(future.resume, 1)
    assert await task == "mine"
    assert name.get() == "none"


async def test_a_result_before_anybody_waits_is_kept() -> None:
    future = waiter()
    future.resume(3)
    assert await future == 3


async def test_a_task_that_was_cancelled_is_not_run_with_the_result() -> None:
    future, done = waiter(), list[int]()
    task = asyncio.create_task(waiting(future, done))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()
    assert done == []


async def test_a_task_that_is_cancelled_before_its_result_is_cancelled_as_anywhere() -> None:
    future, done = waiter(), list[int]()

    async def limited() -> None:
        async with asyncio.timeout(0.01):
            await waiting(future, done)

    with pytest.raises(TimeoutError):
        await limited()
    assert future.cancelled()


async def test_whoever_registered_later_is_called_a_turn_later() -> None:
    future, called = waiter(), list[str]()
    future.add_done_callback(lambda _: called.append("first"))
    future.add_done_callback(lambda _: called.append("second"))
    future.resume(4)
    assert called == ["first"]
    await turns()
    assert called == ["first", "second"]


async def test_who_was_removed_is_not_called() -> None:
    future, called = waiter(), list[str]()

    def removed(_: object) -> None:
        called.append("removed")

    future.add_done_callback(removed)
    future.add_done_callback(lambda _: called.append("second"))
    future.remove_done_callback(removed)
    future.resume(5)
    await turns()
    assert called == ["second"]


async def test_an_error_of_the_server_reaches_the_task() -> None:
    future, done = waiter(), list[int]()
    task = asyncio.create_task(waiting(future, done))
    await turns()
    future.set_exception(ValueError("refused"))
    with pytest.raises(ValueError, match="refused"):
        await task


async def test_what_is_called_cannot_fail_whoever_brings_the_result() -> None:
    future, failures = waiter(), list[BaseException]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fails(_: object) -> None:
        raise ValueError("of the callback")

    future.add_done_callback(fails, context=contextvars.copy_context())
    future.resume(6)
    await turns()
    assert [str(error) for error in failures] == ["of the callback"]

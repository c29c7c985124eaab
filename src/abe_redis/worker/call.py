"""One call of a handler: it ends with a result, with a failure of the handler, or with our own cancellation.

The type of an exception does not say where it comes from. A `CancelledError` may have leaked from a task that
the handler awaited, and a `TimeoutError` may be the handler's own. So the scope and the task decide, and
every other exception is the handler's failure: a worker outlives its handlers.
"""

import asyncio
import inspect
import math
import opcode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from abe_redis.sanitize.exceptions import describe


def as_coroutine_function(handler: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    """The handler as a coroutine function; a plain function runs in a thread."""
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
        return handler
    return in_thread(handler)


async def call(handle: Callable[[], Awaitable[Any]], *, seconds: float | None) -> Any:  # noqa: ANN401
    """Call a handler and wait for its result.

    Args:
        handle: The handler, with its event.
        seconds: Time after which it is cancelled, which is a failure; None: no limit.

    Returns:
        Its result.

    Raises:
        Exception: It failed.
        CancelledError: Our caller was cancelled, so no handler failed.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a task runs us
    cancelled_before = task.cancelling()
    limit = None if seconds is None else anyio.CancelScope(deadline=anyio.current_time() + seconds)
    failure: BaseException | None = None
    result: Any = None
    try:
        if limit is None:
            result = await handle()
        else:
            with limit:
                result = await handle()
    except BaseException as error:
        # Ctrl-C was pressed, or this coroutine is being closed and must not await anything.
        if isinstance(error, KeyboardInterrupt | GeneratorExit) and not _was_raised_by_code(error):
            raise
        failure = error
    if task.cancelling() > cancelled_before:
        await _take_back_cancellations(task, cancelled_before)
    if failure is None and not (limit and limit.cancel_called):  # it may have swallowed the cancellation
        return result
    await anyio.lowlevel.checkpoint_if_cancelled()  # then the handler did not fail
    is_late = limit is not None and limit.cancel_called
    if failure is None or (is_late and isinstance(failure, asyncio.CancelledError)):
        raise TimeoutError(f"the handler took longer than {seconds:g} s")
    if isinstance(failure, Exception):
        raise failure
    raise as_exception(failure) from failure


async def _take_back_cancellations(task: asyncio.Task[Any], count: int) -> None:
    """Undo what the handler, or its libraries, did to the task that it shares with us.

    A pending cancellation request would interrupt the next await of ours.

    Raises:
        CancelledError: The worker itself is cancelled, not only the task.
    """
    if is_cancelled():
        return
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # then the worker's own task was cancelled, too
    if not is_cancelled():
        while task.cancelling() > count:
            task.uncancel()


async def takes_back_cancellation() -> bool:
    """Undo a cancellation of our own task that is not the worker's: a handler left it behind.

    Returns:
        False when the worker itself is cancelled.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a task runs us
    await _take_back_cancellations(task, 0)
    return not is_cancelled()


def is_cancelled() -> bool:
    """Whether a scope around us was cancelled, so that a `CancelledError` is for us."""
    return anyio.current_effective_deadline() == -math.inf


def in_thread(handler: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    """A plain function as a coroutine function: it runs in a thread, and a cancellation abandons it there."""
    # The caller is the bound. With the 40 threads that everybody shares, abandoned threads would delay other
    # handlers, and that wait would count as their time.
    threads = anyio.CapacityLimiter(math.inf)

    async def call_in_thread(value: Any) -> Any:  # noqa: ANN401 - the handler's
        outcome = await anyio.to_thread.run_sync(
            _outcome, handler, value, abandon_on_cancel=True, limiter=threads
        )
        if isinstance(outcome, _Raised):
            raise outcome.error
        return await outcome if inspect.isawaitable(outcome) else outcome

    return call_in_thread


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a function raised: no future passes on every exception, as StopIteration and GeneratorExit."""

    error: BaseException


def _outcome(handler: Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401 - the handler's
    try:
        return handler(value)
    except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
        return _Raised(error)


def _was_raised_by_code(error: BaseException) -> bool:
    """Whether a `raise` statement raised it; an exception from outside can strike anywhere."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename == asyncio.runners.__file__:
        return False  # the loop's own handler of SIGINT raises, too
    return opcode.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


def as_exception(error: BaseException) -> Exception:
    """A failure of the handler that names what it let out, if that is no `Exception`."""
    if isinstance(error, SystemExit):
        return RuntimeError(f"the handler called {describe(error)}")
    if isinstance(error, asyncio.CancelledError):
        return RuntimeError(
            f"the handler let a {describe(error)} out: a task or future that it awaited was cancelled"
        )
    return RuntimeError(f"the handler raised {describe(error)}")

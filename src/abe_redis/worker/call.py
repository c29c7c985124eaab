"""One call of a handler: it ends with a result, with a failure of the handler, or with our own cancellation.

The type of an exception does not say where it comes from. A `CancelledError` may have leaked from a task that
the handler awaited, and a `TimeoutError` may be the handler's own. So the scope and the task decide, and
every other exception is the handler's failure: a worker outlives its handlers.
"""

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from typing import Any

import anyio
import anyio.lowlevel

from abe_redis.runtime import fork
from abe_redis.runtime.signals import was_raised_by_code
from abe_redis.sanitize.exceptions import describe
from abe_redis.worker.insistence import Insistence, leave
from abe_redis.worker.threads import Slot, current_slot, in_thread

_LOG = logging.getLogger(__name__)


def as_coroutine_function(handler: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    """The handler as a coroutine function; a plain function runs in a thread."""
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
        return handler
    return in_thread(handler)


@cache
def _scope_of_the_loop() -> type[anyio.CancelScope]:
    """What `anyio.CancelScope` makes under asyncio, where finding that out anew takes as long as a scope."""
    return type(anyio.CancelScope())


class _Call:
    """A handler at work, in a task of its own.

    What a handler leaves behind dies with its task: a time limit or a task group in a generator that it did
    not close, or a timer that cancels the task. In a task of ours it would strike another event later.
    """

    __slots__ = ("failure", "forks", "from_outside", "result", "scope")

    def __init__(self, seconds: float | None) -> None:
        self.scope = _scope_of_the_loop()()
        """It is cancelled by our caller, or at its deadline."""
        if seconds is not None:
            self.scope.deadline = anyio.current_time() + seconds
        self.forks = fork.generation()
        self.result: Any = None
        self.failure: BaseException | None = None
        self.from_outside: BaseException | None = None
        """What ended the handler and is not its own: Ctrl-C, or the end of this coroutine."""

    async def run(self, handle: Callable[[], Awaitable[Any]]) -> None:
        """Call the handler, and keep its result or its failure.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        try:
            with self.scope:
                try:
                    self.result = await handle()
                except BaseException as error:
                    # Ctrl-C was pressed, or this coroutine is being closed and must not await anything.
                    if isinstance(error, KeyboardInterrupt | GeneratorExit) and not was_raised_by_code(error):
                        self.from_outside = error
                        raise
                    self.failure = error
                fork.end_if_child(self.forks, self.failure)
        except RuntimeError:
            if self.from_outside is not None:
                raise self.from_outside from None
            _LOG.warning(
                "The handler left a time limit or a task group open, in a generator that it did not close. "
                "Close it with contextlib.aclosing."
            )

    async def wait(self, task: asyncio.Task[None]) -> bool:
        """Wait for its end. When our caller is cancelled, cancel it, and wait until its slot lets it go on.

        Returns:
            Whether our caller was cancelled.
        """
        loop, slot = asyncio.get_running_loop(), current_slot()
        ended, alarm = loop.create_future(), None
        insistence = Insistence(task, self.scope, slot.outlast if slot is not None else _say_nothing)
        if self.scope.deadline != math.inf:
            alarm = loop.call_at(self.scope.deadline, insistence.begin)

        def end(_: asyncio.Task[None]) -> None:
            if not ended.done():
                ended.set_result(None)

        task.add_done_callback(end)
        try:
            await ended
        except asyncio.CancelledError:
            self.scope.cancel()
            insistence.begin()
            if slot is not None:
                slot.let_go()
            await self._wait_in_spite_of_that(task, slot)
            return True
        finally:
            if alarm is not None:
                alarm.cancel()
            if insistence.has_begun:
                insistence.end()
                if slot is not None:
                    slot.end()
        return False

    @staticmethod
    async def _wait_in_spite_of_that(task: asyncio.Task[None], slot: Slot | None) -> None:
        with anyio.CancelScope(shield=True) as waiting:
            if slot is not None:
                slot.waits_in = waiting
            while not (task.done() or waiting.cancel_called):
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
        if slot is not None:
            slot.waits_in = None
        if not task.done():
            leave(task)


def _say_nothing() -> None:
    """Outside a worker, nobody is told that a handler goes on."""


async def call(handle: Callable[[], Awaitable[Any]], *, seconds: float | None) -> Any:  # noqa: ANN401
    """Call a handler in a task of its own, and wait for its result.

    Args:
        handle: The handler, with its event.
        seconds: Time after which it is cancelled, which is a failure; None: no limit. A plain function is
            waited for, and its result counts if its lease is not lost meanwhile.

    Returns:
        Its result.

    Raises:
        Exception: It failed.
        CancelledError: Our caller was cancelled, so no handler failed.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    ours = asyncio.current_task()
    assert ours is not None  # noqa: S101 - a task runs us
    at_work, cancelled_before = _Call(seconds), ours.cancelling()
    # A handler that waits for nothing has ended by now.
    task = asyncio.Task(at_work.run(handle), loop=asyncio.get_running_loop(), eager_start=True)
    was_cancelled = not task.done() and await at_work.wait(task)
    if not task.done():
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise asyncio.CancelledError
    if not task.cancelled():  # as one is that cancels itself and returns
        task.result()
    failure = at_work.failure
    if was_cancelled and not (failure is None and is_cancelled()):
        await _take_back_cancellations(ours, cancelled_before)
    is_late = at_work.scope.cancel_called and not was_cancelled
    slot = current_slot() if is_late else None
    is_beyond = slot is not None and slot.was_beyond()  # in a thread, so it has not seen its cancellation
    if failure is None and (is_beyond or not is_late):  # else it may have swallowed it
        return at_work.result
    await anyio.lowlevel.checkpoint_if_cancelled()  # then the handler did not fail
    if failure is None or (is_late and isinstance(failure, asyncio.CancelledError)):
        raise TimeoutError(f"the handler took longer than {seconds:g} s")
    if isinstance(failure, Exception):
        raise failure
    raise as_exception(failure) from failure


async def _take_back_cancellations(task: asyncio.Task[Any], count: int) -> None:
    """Undo what somebody did to our task, who meant neither us nor the worker.

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


def is_cancelled() -> bool:
    """Whether a scope around us was cancelled, so that a `CancelledError` is for us."""
    return anyio.current_effective_deadline() == -math.inf


def as_exception(error: BaseException) -> Exception:
    """A failure of the handler that names what it let out, if that is no `Exception`."""
    if isinstance(error, SystemExit):
        return RuntimeError(f"the handler called {describe(error)}")
    if isinstance(error, asyncio.CancelledError):
        return RuntimeError(
            f"the handler let a {describe(error)} out: a task or future that it awaited was cancelled"
        )
    return RuntimeError(f"the handler raised {describe(error)}")

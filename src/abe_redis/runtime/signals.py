"""Ending a process at a signal: a supervisor's SIGTERM, Ctrl-C, or SIGHUP when its terminal closes."""

import asyncio
import opcode
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.abc


def that_end() -> tuple[signal.Signals, ...]:
    """The signals that end this process; SIGHUP only if nothing else is done about it, as `nohup` does."""
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP


def is_ctrl_c(error: BaseException) -> bool:
    """Whether somebody pressed Ctrl-C, and no code raised it."""
    return isinstance(error, KeyboardInterrupt) and not was_raised_by_code(error)


def was_raised_by_code(error: BaseException) -> bool:
    """Whether a `raise` statement raised it; an exception from outside can strike anywhere."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename == asyncio.runners.__file__:
        return False  # the loop's own handler of SIGINT raises, too
    return opcode.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Let the other signals that end a process do what Ctrl-C does, for the duration of a block in a task.

    The task is cancelled once, since a shell that closes sends SIGHUP more than once; and also where Ctrl-C
    does nothing, as in a background job of a script. Not as handlers of the loop: those lose a signal while
    calls of threads have filled the loop's pipe.

    Raises:
        KeyboardInterrupt: Such a signal came, and the block was cancelled, or had ended by then.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    came = False

    def interrupt(*_: object) -> None:
        nonlocal came
        came = True
        if task is not None and not task.cancelling():
            task.cancel()
        loop.call_soon_threadsafe(lambda: None)  # which wakes it

    may_set = threading.current_thread() is threading.main_thread()  # signals are its business alone
    others = set(that_end()) - {signal.SIGINT} if may_set else ()
    before = {number: signal.signal(number, interrupt) for number in others}
    try:
        yield
    except asyncio.CancelledError:
        if came:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:  # when nothing was left to cancel: the task would end as cancelled, without a word why
        raise KeyboardInterrupt


async def on_signal(
    act: Callable[[int], Awaitable[object]],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Call `act` with the number of each such signal, until cancelled; on Windows, do nothing."""
    if sys.platform == "win32":
        task_status.started()
        return  # no signals to wait for
    with anyio.open_signal_receiver(*that_end()) as signals:
        task_status.started()
        async for number in signals:
            await act(number)

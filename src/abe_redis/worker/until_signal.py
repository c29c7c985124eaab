"""Runs a worker until the process shall end: a signal shuts it down."""

import logging
import sys
import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from abe_redis.errors import RequestError
from abe_redis.runtime.exception_groups import equal_failures_as_one
from abe_redis.runtime.signals import that_end

_LOG = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
"""Time that a cancelled handler gets to end before `leave` is called."""


async def _go_on() -> None:
    """Let the worker leave them behind; the next signal ends the process."""


async def run_until_signal(
    run: Callable[[], Awaitable[None]],
    shutdown: Callable[[], Awaitable[None]],
    *,
    drain_seconds: float,
    leave: Callable[[], Awaitable[None]] = _go_on,
) -> None:
    """Run a worker; shut it down at the first signal, cancel it at the second.

    Args:
        run: Runs it.
        shutdown: Shuts it down.
        drain_seconds: How long that may take.
        leave: Called when handlers have not ended some time after they were cancelled.

    Raises:
        RequestError: This is not the main thread, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RequestError(
            "run_until_signal() was called in another thread than the main one, which alone receives "
            "signals. Call run() here, and shutdown() when the worker shall end."
        )
    ended = anyio.Event()

    async def end_on_signal(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(*that_end()) as signals:
            task_status.started()
            await anext(signals)
            await shutdown()
            with anyio.move_on_after(drain_seconds + PATIENCE_SECONDS):
                again = await anext(signals)
                while again.name == "SIGHUP":  # the kernel and the shell each send one when a terminal closes
                    again = await anext(signals)
                _LOG.warning("Second signal (%s): cancelling the running handlers.", again.name)
                tasks.cancel_scope.cancel()
                with anyio.move_on_after(PATIENCE_SECONDS, shield=True):
                    await ended.wait()
                    return
            await leave()

    with equal_failures_as_one():
        async with anyio.create_task_group() as tasks:
            if sys.platform != "win32":  # Windows cannot wait for a signal
                await tasks.start(end_on_signal)
            try:
                await run()
            finally:
                ended.set()
                tasks.cancel_scope.cancel()

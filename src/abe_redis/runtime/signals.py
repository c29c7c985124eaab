"""Ending a process at a signal."""

import sys
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc


async def on_signal(
    act: Callable[[int], Awaitable[object]],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Call `act` with the number of each SIGTERM or SIGINT, until cancelled; on Windows, do nothing."""
    if sys.platform == "win32":
        task_status.started()
        return  # no signals to wait for
    import signal  # noqa: PLC0415 - these names differ on Windows

    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            await act(number)

"""Ending background tasks that outlive the call that started them."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import anyio

_PATIENCE_SECONDS = 2.0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended, because a timeout in a library can swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_SECONDS)


async def to_its_end[Result](step: Coroutine[Any, Any, Result], *, within: float) -> Result:
    """Run what must not stop half done: a cancellation waits until it has ended.

    Args:
        step: What to run, in a task of its own.
        within: Seconds that it has after a cancellation; then it is cancelled, too.

    Returns:
        What it returns.
    """
    task = asyncio.create_task(step)
    try:
        await asyncio.wait([task])
    except BaseException:
        with anyio.move_on_after(within, shield=True):
            with suppress(asyncio.CancelledError):  # who insists does not wait
                await asyncio.wait([task])
        with anyio.CancelScope(shield=True):
            await end(task)
        if not task.cancelled():
            task.exception()  # the cancellation says more
        raise
    return task.result()

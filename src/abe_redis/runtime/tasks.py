"""Ending background tasks that outlive the call that started them."""

import asyncio
from typing import Any

_PATIENCE_SECONDS = 2.0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended, because a timeout in a library can swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_SECONDS)

"""How much later than asked this process ran: what a slow machine adds to a time that a test measures."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

_STEP_SECONDS = 0.02


@dataclass
class Watch:
    """The time since it began, with and without what the machine took away."""

    began: float
    late: float = 0.0

    @property
    def passed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def own(self) -> float:
        """The same, without the time for which the event loop was ready and did not run."""
        return self.passed - self.late


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Measure a block; an upper bound holds for `own`, a lower one for `passed`."""
    watch = Watch(time.monotonic())

    async def look() -> None:
        while True:
            due = time.monotonic() + _STEP_SECONDS
            await anyio.sleep(_STEP_SECONDS)
            watch.late += max(0.0, time.monotonic() - due)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        yield watch
        tasks.cancel_scope.cancel()

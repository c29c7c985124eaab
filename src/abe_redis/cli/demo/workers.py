"""The workers of the demo: two processes of one group, and what they report."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from abe_redis.cli.demo.stage import Child, Stage

_LONGEST_LINE = 65_536


@dataclass(frozen=True, slots=True)
class Handled:
    """An event that a worker is handling."""

    deliveries: int
    at: float
    """Monotonic time."""


@dataclass(eq=False)
class Worker:
    """One worker, and a record of what it reported."""

    name: str
    child: Child
    ready: bool = False
    took: dict[str, Handled] = field(default_factory=dict)
    """By event id."""
    finished: Counter[str] = field(default_factory=Counter)

    async def listen(self) -> None:
        """Record its reports until its output ends."""
        if self.child.process.stdout is None:
            return
        lines = BufferedByteReceiveStream(self.child.process.stdout)
        while True:
            try:
                line = await lines.receive_until(b"\n", _LONGEST_LINE)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
                return
            match json.loads(line):
                case {"what": "ready"}:
                    self.ready = True
                case {"what": "took", "event_id": str(event_id), "deliveries": int(deliveries)}:
                    self.took[event_id] = Handled(deliveries, time.monotonic())
                case {"what": "finished", "event_id": str(event_id)}:
                    self.finished[event_id] += 1


@asynccontextmanager
async def running(stage: Stage, *names: str) -> AsyncIterator[list[Worker]]:
    """Run workers until the end of the block; when it begins, all of them are ready."""
    async with anyio.create_task_group() as readers, AsyncExitStack() as processes:
        workers = []
        for name in names:
            child = await processes.enter_async_context(stage.python(name, "-m", "abe_redis.cli.demo.worker"))
            workers.append(Worker(name, child))
            readers.start_soon(workers[-1].listen)
        await stage.until(
            lambda: all(worker.ready for worker in workers),
            "the workers",
            *(worker.child for worker in workers),
        )
        yield workers

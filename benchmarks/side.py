"""What runs in a contestant's process: a line on stdin says what to do, a line on stdout what came of it.

Standard library only. The clock is `time.monotonic`, which all processes of a machine share.
"""

import asyncio
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from itertools import batched
from pathlib import Path
from typing import Any

from benchmarks.payload import Envelopes, Payload, number_of

type Publish = Callable[[Payload], Awaitable[object]]
type PublishMany = Callable[[list[Payload]], Awaitable[object]]
type Handle = Callable[[Payload], None]

CONCURRENCY = 64
"""How many handlers run at once, for those who can."""
CONNECTIONS = 512
"""The pool of those who fail instead of waiting when it is empty."""


@dataclass(frozen=True, slots=True)
class Work:
    """Where to work."""

    url: str
    streams: tuple[str, ...]
    """What is published goes to each in turn; consumers read all."""
    groups: tuple[str, ...]
    """Who consumes, each everything; they exist already, where there are groups."""


@dataclass(frozen=True, slots=True)
class Side:
    """How a contestant publishes and consumes; each holds its connections for as long as it is entered."""

    publisher: Callable[[Work], AbstractAsyncContextManager[Publish]]
    consumer: Callable[[Work, Handle], AbstractAsyncContextManager[None]]
    """Calls the handler with every event while it is entered."""
    batcher: Callable[[Work], AbstractAsyncContextManager[PublishMany]] | None = None
    """A call that publishes many at once, if there is one."""
    packages: tuple[str, ...] = ("redis", "hiredis")
    """Whose versions count."""


class Tally:
    """The handler that all consumers call: it touches a field and counts."""

    def __init__(self) -> None:
        self.event_ids: list[str] = []
        self.times: list[float] = []
        """When each was handled."""
        self.waits: list[int] = []
        """Nanoseconds from publish to here, of the events that say when they were published."""
        self._target = 0
        self._reached = asyncio.Event()

    def __call__(self, payload: Payload) -> None:
        """Handle an event."""
        self.times.append(time.monotonic())
        self.event_ids.append(payload["event_id"])
        if (sent := payload.get("sent")) is not None:
            self.waits.append(time.monotonic_ns() - sent)
        if len(self.event_ids) == self._target:
            self._reached.set()

    async def reach(self, target: int, patience: float) -> None:
        """Wait until so many are handled, or none was for so many seconds."""
        self._target, seen = target, -1
        self._reached.clear()
        while seen < len(self.event_ids) < target:
            seen = len(self.event_ids)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reached.wait(), patience)


@asynccontextmanager
async def running(*programs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run endless programs beside the body and end them with it; what one failed with is raised."""
    tasks = [asyncio.create_task(program) for program in programs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


class _Clock:
    """Wall time and CPU time of this process since it was made."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._cpu = time.process_time()

    def read(self) -> dict[str, float]:
        return {"seconds": time.monotonic() - self.began, "cpu": time.process_time() - self._cpu}


class _Server:
    """Carries out commands, one after the other."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        # What a library prints is not an answer.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def run(self, *, uvloop: bool) -> None:
        loop_factory = import_module("uvloop").new_event_loop if uvloop else None
        self._say({"python": sys.version.split()[0], "uvloop": uvloop, "versions": self._versions()})
        while line := sys.stdin.readline():
            command: dict[str, Any] = json.loads(line)
            what = command.pop("do")
            work = Work(command.pop("url"), tuple(command.pop("streams")), tuple(command.pop("groups")))
            try:
                with asyncio.Runner(loop_factory=loop_factory) as runner:
                    answer = runner.run(getattr(self, what)(work, **command))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            self._say(answer)

    async def publish(
        self, work: Work, *, count: int, at_once: int, size: float, first: int
    ) -> dict[str, Any]:
        """Publish by so many tasks at once, each awaiting its own; the first of each is not timed."""
        envelopes, numbers = Envelopes(size), iter(range(first, first + at_once + count))
        async with self._side.publisher(work) as publish:

            async def one(most: int) -> None:
                for _, number in zip(range(most), numbers, strict=False):
                    await publish(envelopes.make(number))

            await asyncio.gather(*(one(1) for _ in range(at_once)))
            clock = _Clock()
            await asyncio.gather(*(one(count) for _ in range(at_once)))
            spent = clock.read()
        return {"published": count + at_once, "timed": count, **spent, **_memory()}

    async def publish_many(self, work: Work, *, count: int, batch: int, size: float) -> dict[str, Any]:
        """Publish in batches, one after the other; the first is not timed."""
        if self._side.batcher is None:
            return {"unsupported": True}
        envelopes = Envelopes(size)
        async with self._side.batcher(work) as publish_many:
            await publish_many([envelopes.make(number) for number in range(batch)])
            clock = _Clock()
            for numbers in batched(range(batch, batch + count), batch):
                await publish_many([envelopes.make(number) for number in numbers])
            spent = clock.read()
        return {"published": count + batch, "timed": count, **spent, **_memory()}

    async def pace(self, work: Work, *, count: int, rate: float, size: float, first: int) -> dict[str, Any]:
        """Publish at a rate, whether or not the last publish is done; each event says when."""
        envelopes = Envelopes(size)
        async with self._side.publisher(work) as publish, asyncio.TaskGroup() as tasks:
            await publish(envelopes.make(first))  # opens the connection, and is not timed
            began = time.monotonic()
            for number in range(1, count + 1):
                await asyncio.sleep(max(0, began + number / rate - time.monotonic()))
                payload = envelopes.make(first + number) | {"sent": time.monotonic_ns()}
                tasks.create_task(_wait(publish(payload)))
        return {"published": 1 + count, "timed": count}

    async def consume(self, work: Work, *, expect: int, warm: int, patience: float) -> dict[str, Any]:
        """Consume until so many are handled, and say so; go on, since the last are not acked yet, until told.

        With `warm`, it says so too when the first so many are handled.
        """
        tally, clock = Tally(), _Clock()
        async with self._side.consumer(work, tally):
            if warm:
                await tally.reach(warm, patience)
                self._say({"handled": len(tally.times)})
            await tally.reach(expect, patience)
            last = tally.times[min(expect, len(tally.times)) - 1] if tally.times else clock.began
            self._say({"handled": len(tally.times), "began": clock.began, "last_at": last})
            await asyncio.to_thread(sys.stdin.readline)
            cpu = clock.read()["cpu"]
        return {
            "handled": len(tally.times),
            "distinct": len(set(tally.event_ids)),
            "first_after": tally.times[0] - clock.began if tally.times else None,
            "order": [number_of(event_id) for event_id in tally.event_ids],
            "waits": tally.waits,
            "cpu": cpu,
            **_memory(),
        }

    def _versions(self) -> dict[str, str]:
        found = {}
        for package in self._side.packages:
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                found[package] = "none"
        return found

    def _say(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")


async def _wait(publishing: Awaitable[object]) -> None:
    await publishing


def _memory() -> dict[str, float]:
    """The most memory this process ever had, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands the parent's ru_maxrss on to the child
        (peak,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return {"memory": int(peak.split()[1]) * 1024 / 1e6}
    return {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def serve(side: Side) -> None:
    """Carry out what stdin says, until it ends."""
    _Server(side).run(uvloop="--uvloop" in sys.argv)

"""The processes of a trial: `python -m benchmarks.sizing.actors ROLE NUMBER`.

They answer each line on stdin with a line. A publisher publishes for `RATE SECONDS`; any other line asks a
process what it has done and used.
"""

import json
import random
import resource
import sys
import time

import anyio
import anyio.to_thread

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.errors import RedisUnavailableError
from benchmarks.payload import Envelopes

KILOBYTES = 1.2
CHANNELS = 1000
AGAIN_SECONDS = 0.5


class Work:
    """How much a process has done."""

    def __init__(self) -> None:
        self.done = 0

    def answer(self) -> None:
        """Say it, with the CPU seconds and the most memory the process has used."""
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        facts = {"done": self.done, "cpu": time.process_time(), "megabytes": megabytes}
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


async def _words() -> list[str] | None:
    """The next line on stdin; None at its end."""
    line = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    return line.split() if line else None


async def publish(seed: int) -> None:
    """Publish what is asked for, each event by itself, as a webhook does."""
    chance = random.Random(seed)  # noqa: S311
    envelopes, work = Envelopes(KILOBYTES), Work()
    async with RedisMessageQueueBackend.from_env() as backend:
        await backend.connections()
        work.answer()

        async def one(number: int) -> None:
            payload = envelopes.make(number)
            payload["event"] = payload["event"] | {"channel": f"C{chance.randrange(CHANNELS):08d}"}
            while True:
                try:
                    await backend.publish("slack_events", payload)
                except RedisUnavailableError:
                    await anyio.sleep(AGAIN_SECONDS)  # Slack tries again, too
                else:
                    work.done += 1
                    return

        while (words := await _words()) is not None:
            if len(words) == 2:  # noqa: PLR2004 - a rate and a time
                per_second, seconds = map(float, words)
                began, first = time.monotonic(), work.done
                async with anyio.create_task_group() as tasks:
                    for number in range(round(per_second * seconds)):
                        ahead = began + number / per_second - time.monotonic()
                        if ahead > 0:
                            await anyio.sleep(ahead)
                        tasks.start_soon(one, seed * 100_000_000 + first + number)
            work.answer()


async def consume(ordered: int) -> None:
    """Handle events from the first line on, in the order of their conversations or not."""
    work = Work()

    async def handle(_: Event) -> None:
        work.done += 1

    async with RedisMessageQueueBackend.from_env() as backend, anyio.create_task_group() as tasks:
        worker = EventWorker(backend, handle, group="workers", concurrency=8, ordered=bool(ordered))
        work.answer()
        if await _words() is not None:
            tasks.start_soon(worker.run)
        work.answer()
        while await _words() is not None:
            work.answer()
        await worker.shutdown()


if __name__ == "__main__":
    role, number = sys.argv[1:]
    anyio.run({"publish": publish, "consume": consume}[role], int(number))

"""A worker in a process of its own, which tests end as they like.

Its handler prints each start as a line of JSON, with one system call: a SIGKILL cannot take it back. Then it
does what the event says: `die` ends the process at once, `fail` raises, `seconds` sleeps.
"""

import asyncio
import json
import os
import signal
import sys

import anyio

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend


async def handle(event: Event) -> None:
    os.write(1, (json.dumps({"n": event["n"], "deliveries": event.deliveries}) + "\n").encode())
    if event.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event.get("fail"):
        raise ValueError("as the event says")
    await anyio.sleep(event.get("seconds", 0))


async def main(*, ordered: bool, concurrency: int, first: float) -> None:
    async with RedisMessageQueueBackend.from_env() as backend:
        policy = Backoff(first=first, deliveries=backend.settings.redis_stream_max_deliveries)
        worker = EventWorker(backend, handle, ordered=ordered, concurrency=concurrency, policy=policy)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                await anext(signals)
                await worker.shutdown()


if __name__ == "__main__":
    asyncio.run(
        main(ordered=sys.argv[1] == "ordered", concurrency=int(sys.argv[2]), first=float(sys.argv[3]))
    )

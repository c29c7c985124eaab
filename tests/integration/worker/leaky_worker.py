"""A worker at work in a test, and the reasons with which it buried events."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from redis.asyncio import Redis

from abe_redis import Backoff, EventWorker, RedisMessageQueueBackend

STREAM = "slack_events"
DEAD = "dead:{slack_events}"
TWICE = Backoff(first=0, deliveries=2)


async def publish(backend: RedisMessageQueueBackend, *numbers: int) -> None:
    for number in numbers:
        await backend.publish(STREAM, {"n": number})


@asynccontextmanager
async def at_work(worker: EventWorker) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        yield
        await worker.shutdown()


async def reasons(redis: Redis) -> list[str]:
    rows: Any = await redis.xrange(DEAD)
    return [fields[b"abe:reason"].decode() for _, fields in rows]


async def awaits_a_cancelled_task(_: Any) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


def thread_exits(_: Any) -> None:
    sys.exit("no more")


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()

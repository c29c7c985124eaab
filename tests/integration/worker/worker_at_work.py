"""A worker at work in a test, and what it leaves: pending events and dead letters."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from redis.asyncio import Redis

from abe_redis import (
    EventWorker,
    RedisMessageQueueBackend,
)

DEAD = "dead:{slack_events}"


async def publish(backend: RedisMessageQueueBackend, *numbers: int) -> None:
    for number in numbers:
        await backend.publish("slack_events", {"n": number})


@asynccontextmanager
async def at_work(*workers: EventWorker) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        yield
        for worker in workers:
            await worker.shutdown()


def nothing_pending(redis: Redis) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        groups: Any = await redis.xinfo_groups("slack_events")
        return bool(groups) and all(group["pending"] == 0 and group["lag"] == 0 for group in groups)

    return check


async def letters(redis: Redis) -> list[dict[bytes, bytes]]:
    rows: Any = await redis.xrange(DEAD)
    return [fields for _, fields in rows]

"""Handlers at work, and what somebody else does to their group and consumer meanwhile."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from tests.integration.conftest import until

STREAM = "slack_events"
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


class Handlers:
    """Handlers that work until they may end; what they did is counted."""

    def __init__(self) -> None:
        self.may_end = anyio.Event()
        self.at_work = Counter[int]()
        self.most_at_work = Counter[int]()
        self.started = Counter[int]()
        self.done = Counter[int]()
        self.cancelled = Counter[int]()

    async def __call__(self, event: Event) -> None:
        number = event["n"]
        self.started[number] += 1
        self.at_work[number] += 1
        self.most_at_work[number] = max(self.at_work[number], self.most_at_work[number])
        try:
            await self.may_end.wait()
            self.done[number] += 1
        except anyio.get_cancelled_exc_class():
            self.cancelled[number] += 1
            raise
        finally:
            self.at_work[number] -= 1


@asynccontextmanager
async def working(*workers: EventWorker) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        yield
        for worker in workers:
            await worker.shutdown()


async def publish(backend: RedisMessageQueueBackend, *numbers: int) -> None:
    """Each in a conversation of its own."""
    for n in numbers:
        payload = {"type": "event_callback", "event_id": f"Ev{n}", "n": n, "event": {"channel": f"C{n}"}}
        await backend.publish(STREAM, payload)


async def is_finished(redis: Redis) -> bool:
    groups: Any = await redis.xinfo_groups(STREAM)
    return bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] in {0, None}


async def until_at_work(handlers: Handlers, count: int) -> None:
    async def enough() -> bool:
        return sum(handlers.at_work.values()) >= count

    await until(enough)


async def pending(redis: Redis) -> dict[str, Any]:
    found: Any = await redis.xpending_range(STREAM, "default", "-", "+", 1000)
    return {row["message_id"].decode(): row for row in found}

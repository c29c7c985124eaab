"""Ordered workers whose handlers log what they do, and who owns which stream."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from tests.integration.conftest import until

TOPIC = "slack_events"


def said(channel: str, number: int) -> dict[str, Any]:
    return {"type": "message", "channel": channel, "n": number}


async def publish(backend: RedisMessageQueueBackend, channels: str, *numbers: int) -> None:
    """Each number in each channel, a channel being a letter."""
    await backend.publish_many(TOPIC, [said(channel, number) for number in numbers for channel in channels])


class Log:
    """What handlers did, by channel."""

    def __init__(self) -> None:
        self.began: dict[str, list[int]] = defaultdict(list)
        self.ended: dict[str, list[int]] = defaultdict(list)
        self.cancelled: list[int] = []
        self.at_work: set[str] = set()
        self.most_at_work = 0
        self.by: dict[str, set[str]] = defaultdict(set)
        """By consumer, which streams it had."""
        self.gates: dict[str, anyio.Event] = {}
        """Handlers of a channel wait for its gate, if it has one."""

    async def __call__(self, event: Event) -> None:
        channel = event["channel"]
        assert channel not in self.at_work, "another handler has this conversation"
        self.at_work.add(channel)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        self.began[channel].append(event["n"])
        self.by[event._holder.name].add(event.stream)  # type: ignore[union-attr]
        try:
            if channel in self.gates:
                await self.gates[channel].wait()
            else:
                await anyio.sleep(0.001)
            self.ended[channel].append(event["n"])
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(event["n"])
            raise
        finally:
            self.at_work.discard(channel)

    async def all_ended(self, channels: str, count: int) -> None:
        await until_true(lambda: all(len(set(self.ended[channel])) >= count for channel in channels))


@asynccontextmanager
async def at_work(*workers: EventWorker) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        yield
        for worker in workers:
            await worker.shutdown()


def worker(backend: RedisMessageQueueBackend, handler: Any, **options: Any) -> EventWorker:
    return EventWorker(backend, handler, **{"concurrency": 8, "ordered": True} | options)


async def until_true(condition: Callable[[], Any]) -> None:
    async def check() -> bool:
        return bool(condition())

    await until(check)


async def until_equal(find: Callable[[], Awaitable[Any]], expected: Any) -> None:
    async def check() -> bool:
        return bool(await find() == expected)

    await until(check)


async def owners(redis: Redis) -> dict[str, str]:
    """Who owns each stream, by the name of its consumer."""
    keys = [f"abe:owner:{{{name}}}:default" for name in (TOPIC, *(f"{TOPIC}:p{at}" for at in range(6)))]
    found: dict[str, Any] = {key: await redis.get(key) for key in keys}
    return {key: value.decode().split()[0] for key, value in found.items() if value is not None}

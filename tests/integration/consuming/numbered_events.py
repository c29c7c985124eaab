"""Events with numbers: published, and seen when they are taken."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from redis.asyncio import Redis

from abe_redis import EventStream, RedisMessageQueueBackend
from tests.integration.conftest import pending, take_one, until


async def publish(backend: RedisMessageQueueBackend, *numbers: int, stream: str = "slack_events") -> None:
    for number in numbers:
        await backend.publish(stream, {"n": number})


def numbers(events: list[Any]) -> list[int]:
    return [event["n"] for event in events]


async def while_asking(events: EventStream, condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask for the next event, which does not come, until something is so."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_one, events)
        await until(condition)
        tasks.cancel_scope.cancel()


def nothing_pending(redis: Redis, group: str = "default") -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await pending(redis, "slack_events", group) == 0

    return check


async def _exhaust(events: Any) -> None:
    async for _ in events:
        pass

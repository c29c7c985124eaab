"""A back end behind a proxy that refuses, and what it publishes and handles there."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import EventWorker, Operations, RedisMessageQueueBackend, Settings
from tests.patience import PATIENCE
from tests.refusing_proxy import RefusingProxy
from tests.servers import HOST, Server


@pytest.fixture
async def proxy(lone_server: Server) -> AsyncIterator[RefusingProxy]:
    lone_server.reset()
    async with RefusingProxy(lone_server.port) as proxy:
        yield proxy


@pytest.fixture
async def lone_redis(lone_server: Server) -> AsyncIterator[Redis]:
    async with Redis(host=HOST, port=lone_server.port, protocol=2) as client:
        yield client


def settings(proxy: RefusingProxy, **more: Any) -> Settings:
    return Settings(redis_url=f"redis://{HOST}:{proxy.port}", **more)


async def publish_and_handle(one: Settings, *topics: str) -> list[int]:
    """What a worker handles of one event per topic, sorted."""
    handled: list[int] = []
    async with RedisMessageQueueBackend(one) as backend:
        for number, topic in enumerate(topics):
            await backend.publish(topic, {"number": number})
        await handle(backend, handled, len(topics))
    return sorted(handled)


async def handle(backend: RedisMessageQueueBackend, handled: list[int], count: int) -> None:
    """Run a worker until it has handled so many events."""

    async def note(event: Any) -> None:
        handled.append(event["number"])
        if len(handled) == count:
            tasks.cancel_scope.cancel()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(EventWorker(backend, note, group="g", view=None).run)


async def stats(one: Settings, topic: str | None) -> list[str]:
    async with RedisMessageQueueBackend(one) as backend:
        return [one.stream for one in (await Operations(backend).stream_stats(stream=topic)).streams]

"""A worker whose group records each event that it has finished before the next one is published."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.streams import names
from tests.integration.conftest import until
from tests.patience import PATIENCE

STREAM = "slack_events"
GROUP = "default"
RECORDS = names.records(STREAM)
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


class Bot:
    """A worker, whose handlers can be held up, and the events that they have handled."""

    def __init__(self, backend: RedisMessageQueueBackend, redis: Redis, *, ordered: bool) -> None:
        self.handled: list[int] = []
        self.may_go_on = anyio.Event()
        self.may_go_on.set()
        self._backend = backend
        self._redis = redis
        self._worker = EventWorker(backend, self._handle, group=GROUP, ordered=ordered)

    async def _handle(self, event: Event) -> None:
        await self.may_go_on.wait()
        self.handled.append(event["n"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with anyio.fail_after(None) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._worker.run)
                yield
                await self._worker.shutdown()
                scope.deadline = anyio.current_time() + PATIENCE

    async def publish(self, *numbers: int) -> None:
        for n in numbers:
            await self._backend.publish(STREAM, {"type": "event_callback", "event_id": f"Ev{n}", "n": n})

    async def until_handled(self, *numbers: int, times: int = 1) -> None:
        """Wait until these are handled so often, and the group has recorded that."""

        async def is_so() -> bool:
            if any(self.handled.count(n) < times for n in numbers):
                return False
            (group,) = await self._redis.xinfo_groups(STREAM)
            floor: Any = await self._redis.hget(RECORDS, f"floor {GROUP}") or b""
            return bool(floor.split()[:1] == [group["last-delivered-id"]] and floor.endswith(b" 0"))

        await until(is_so)

    async def go_on(self, *numbers: int) -> None:
        """Publish and handle one by one: so the worker has seen the answer to each record but the last."""
        for n in numbers:
            await self.publish(n)
            await self.until_handled(n)

"""What waits in streams that a worker does not read, since it has no free place or the group is paused."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import names
from tests.integration.conftest import MakeBackend, until
from tests.patience import PATIENCE

STREAM, BUSY, COPY = "slack:waiting", "slack:busy", "a copy"
GROUP = "default"
COUNT = 30


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def deleted(redis: Redis) -> None:
    await redis.delete(STREAM)


async def renamed_over(redis: Redis) -> None:
    await redis.xadd("another", {"data": '{"n": 0}'})
    await redis.rename("another", STREAM)


async def replaced(redis: Redis) -> None:
    await redis.copy(COPY, STREAM, replace=True)


async def trimmed(redis: Redis) -> None:
    await redis.xtrim(STREAM, maxlen=0, approximate=False)


type Remove = Callable[[Redis], Awaitable[None]]

REMOVED = pytest.mark.parametrize(
    "remove", [deleted, renamed_over, replaced, trimmed], ids=["DEL", "RENAME", "COPY", "XTRIM"]
)
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


async def lost(redis: Redis) -> int:
    return int(await redis.hget(names.records(STREAM), f"lost {GROUP}") or 0)


async def until_handled(handled: list[Any], n: str) -> None:
    async def is_so() -> bool:
        return n in handled

    await until(is_so)


async def until_recorded(redis: Redis, unfinished: int) -> None:
    async def is_so() -> bool:
        floor: Any = await redis.hget(names.records(STREAM), f"floor {GROUP}") or b""
        return bool(floor.endswith(b" %d" % unfinished))

    await until(is_so)


@asynccontextmanager
async def worker_of(
    backend: RedisMessageQueueBackend, handle: Callable[[Event], Awaitable[None]], *, ordered: bool
) -> AsyncIterator[None]:
    """Runs a worker with a single place."""
    worker = EventWorker(backend, handle, group=GROUP, ordered=ordered, concurrency=1)
    with anyio.fail_after(2 * PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            yield
            await worker.shutdown()


async def fill(backend: RedisMessageQueueBackend) -> None:
    for n in range(COUNT):
        await backend.publish(STREAM, {"n": n})


@KINDS
@REMOVED
@pytest.mark.promise("A worker counts the losses each second")
async def test_what_waits_while_the_only_place_is_taken_is_counted(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture, ordered: bool, remove: Remove
) -> None:
    backend, handled, may_go_on = make_backend(), list[Any](), anyio.Event()

    async def handle(event: Event) -> None:
        handled.append(event["n"])
        if event["n"] == "long":
            await may_go_on.wait()

    async with worker_of(backend, handle, ordered=ordered):
        await backend.publish(STREAM, {"n": "first"})
        await until_handled(handled, "first")
        await until_recorded(redis, 0)
        await redis.copy(STREAM, COPY)
        await backend.publish(BUSY, {"n": "long"})
        await until_handled(handled, "long")
        await fill(backend)
        await until_recorded(redis, COUNT)
        await remove(redis)
        await backend.publish(STREAM, {"n": "after"})

        async def is_counted() -> bool:
            return await lost(redis) == COUNT

        await until(is_counted)
        may_go_on.set()
        await until_handled(handled, "after")
    assert any(STREAM in one and f"{COUNT} events" in one for one in caplog.messages)
    (stats,) = (await Operations(backend).stream_stats(stream=STREAM)).streams
    assert [group.lost for group in stats.groups] == [COUNT]


@KINDS
@REMOVED
async def test_what_waits_for_a_paused_group_is_counted(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture, ordered: bool, remove: Remove
) -> None:
    caplog.set_level("INFO")
    backend, handled = make_backend(), list[Any]()
    groups = Groups(Scope(backend))

    async def handle(event: Event) -> None:
        handled.append(event["n"])

    async with worker_of(backend, handle, ordered=ordered):
        await backend.publish(STREAM, {"n": "first"})
        await until_handled(handled, "first")
        await until_recorded(redis, 0)
        await redis.copy(STREAM, COPY)
        await groups.pause(STREAM, GROUP)

        async def is_paused() -> bool:
            return any("is paused: nothing of it is read" in one for one in caplog.messages)

        await until(is_paused)
        await fill(backend)
        await until_recorded(redis, COUNT)
        await remove(redis)

        async def is_counted() -> bool:
            return await lost(redis) == COUNT

        await until(is_counted)
        await backend.publish(STREAM, {"n": "after"})

        async def has_group() -> bool:
            return bool(await redis.xinfo_groups(STREAM))

        await until(has_group)
        await groups.resume(STREAM, GROUP)
        await until_handled(handled, "after")
    assert await lost(redis) == COUNT

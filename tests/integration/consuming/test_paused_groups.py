"""A paused group is not read; what somebody does to it or its stream meanwhile is noticed all the same."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.consuming import discovery
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams.groups import ensure_group
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.foreign_hands import KINDS, STREAM, publish, working

type Deed = Callable[[Redis, Groups], Awaitable[object]]

RECORDS = "abe:groups:{slack_events}"


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture
def groups(backend: RedisMessageQueueBackend) -> Groups:
    return Groups(Scope(backend))


class Numbers:
    """A handler that counts the events it gets."""

    def __init__(self) -> None:
        self.seen = Counter[int]()

    async def __call__(self, event: Event) -> None:
        self.seen[event["n"]] += 1

    async def until(self, *numbers: int) -> None:
        async def are_all_there() -> bool:
            return self.seen.keys() >= set(numbers)

        await until(are_all_there)


@pytest.fixture
def pause(redis: Redis, groups: Groups, caplog: pytest.LogCaptureFixture) -> Callable[[], Awaitable[None]]:
    """Pauses the group, and waits until its worker has noticed and its last read is over."""
    caplog.set_level(logging.INFO, discovery.__name__)

    async def pause_it() -> None:
        await groups.pause(STREAM, "default")

        async def is_noticed() -> bool:
            clients: Any = await redis.info("clients")
            said = f"Group 'default' of {STREAM!r} is paused: nothing of it is read until"
            return said in caplog.text and not clients["blocked_clients"]

        await until(is_noticed)

    return pause_it


async def has_group(redis: Redis) -> bool:
    found: Any = await redis.xinfo_groups(STREAM) if await redis.exists(STREAM) else []
    return bool(found)


async def remove(redis: Redis, groups: Groups) -> None:
    await groups.remove(STREAM, "default", force=True)


async def make_anew(redis: Redis, groups: Groups) -> None:
    await remove(redis, groups)
    await groups.create(STREAM, "default", start="now")


async def flush(redis: Redis, groups: Groups) -> None:
    await redis.flushall()


@KINDS
@pytest.mark.parametrize("deed", [remove, make_anew, flush])
async def test_a_pause_ends_with_the_group(
    make_backend: MakeBackend,
    redis: Redis,
    groups: Groups,
    pause: Callable[[], Awaitable[None]],
    ordered: bool,
    deed: Deed,
) -> None:
    """Its worker has no other stream and searches for none, and nobody resumes what is no longer paused."""
    backend, handle = make_backend(redis_stream_patterns=STREAM), Numbers()
    await publish(backend, 1)
    async with working(EventWorker(backend, handle, ordered=ordered)):
        await handle.until(1)
        await pause()
        await deed(redis, groups)
        await publish(backend, 2)
        await handle.until(2)


@KINDS
async def test_a_paused_group_that_another_worker_makes_anew_is_read_by_both(
    make_backend: MakeBackend,
    redis: Redis,
    groups: Groups,
    pause: Callable[[], Awaitable[None]],
    ordered: bool,
) -> None:
    backend, second = (make_backend(redis_stream_patterns=STREAM) for _ in range(2))
    handle, other = Numbers(), Numbers()
    await publish(backend, 1)
    async with working(EventWorker(backend, handle, ordered=ordered)):
        await handle.until(1)
        await pause()
        await remove(redis, groups)
        async with working(EventWorker(second, other, ordered=ordered)):
            await publish(backend, 2)

            async def is_done() -> bool:
                return 2 in handle.seen + other.seen

            await until(is_done)
        await redis.xadd(STREAM, {"data": '{"n": 3}'})  # of which nothing tells the worker
        await handle.until(3)


async def destroy(redis: Redis, groups: Groups) -> None:
    await redis.xgroup_destroy(STREAM, "default")


async def delete(redis: Redis, groups: Groups) -> None:
    await redis.delete(STREAM)


async def rename(redis: Redis, groups: Groups) -> None:
    await redis.rename(STREAM, "{slack_events}:aside")


@KINDS
@pytest.mark.parametrize("deed", [destroy, delete, rename])
async def test_a_group_stays_paused_though_a_foreign_hand_takes_it_or_its_stream(
    make_backend: MakeBackend,
    redis: Redis,
    groups: Groups,
    pause: Callable[[], Awaitable[None]],
    ordered: bool,
    deed: Deed,
) -> None:
    """It is made again soon, so that its operator can resume it; until then it gets nothing."""
    backend = make_backend(redis_stream_patterns=f"{STREAM},slack:other")
    handle = Numbers()
    await publish(backend, 1)
    async with working(EventWorker(backend, handle, ordered=ordered)):
        await handle.until(1)
        await pause()
        await deed(redis, groups)
        await redis.xadd(STREAM, {"data": '{"n": 2}'})  # of which nothing tells the worker
        await until(lambda: has_group(redis))
        assert await redis.hexists(RECORDS, "paused default")
        await backend.publish("slack:other", {"n": 3})
        await handle.until(3)
        assert set(handle.seen) == {1, 3}
        await groups.resume(STREAM, "default")
        await handle.until(2)
    assert handle.seen == {1: 1, 2: 1, 3: 1}


async def test_what_is_known_of_a_group_stays_when_its_stream_is_put_back(redis: Redis) -> None:
    """It would go after the week for which it is kept of a deleted stream, the pause with it."""
    await redis.xadd(STREAM, {"data": '{"n": 1}'})
    await ensure_group(redis, [STREAM], "default")
    await redis.hset(RECORDS, "paused default", "1")
    await redis.rename(STREAM, "{slack_events}:aside")
    assert [one.state for one in await ensure_group(redis, [STREAM], "default")] == ["missing"]
    assert await redis.ttl(RECORDS) > 0
    await redis.rename("{slack_events}:aside", STREAM)
    assert [one.state for one in await ensure_group(redis, [STREAM], "default")] == ["paused"]
    assert await redis.ttl(RECORDS) == -1


async def test_a_deleted_stream_that_the_patterns_name_in_full_is_found_however_late_it_comes(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No search looks for it, and another program does not announce it."""
    monkeypatch.setattr(discovery, "MISSING_SECONDS", 0)
    backend = make_backend(redis_stream_patterns="mine")
    handle = Numbers()
    await redis.xadd("mine", {"data": '{"n": 1}'})
    async with working(EventWorker(backend, handle)):
        await handle.until(1)
        await redis.delete("mine")

        async def is_missed() -> bool:
            return await redis.ttl("abe:groups:{mine}") > 0

        await until(is_missed)
        await redis.xadd("mine", {"data": '{"n": 2}'})
        await handle.until(2)

"""What others trim and delete before a group has finished it is counted once, logged and shown."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventStream, EventWorker
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.integration.conftest import take, take_one, until
from tests.integration.consuming.counted_losses import (
    RECORDS,
    TOPIC,
    advice,
    backend_of,
    fill,
    group_stats,
    is_recorded,
    losses,
    redis_url,
    settings,
)
from tests.patience import PATIENCE

__all__ = ["redis_url", "settings"]


@pytest.mark.promise("they are not lost in silence")
@pytest.mark.promise(
    "If somebody else removes events that a group has not finished, the log and `abe-redis stats` say"
)
async def test_unread_entries_trimmed_by_others_are_logged_once_and_shown(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with backend_of(settings) as backend, backend.consume() as events:
        await fill(redis, 5)
        await take(events, 3)
    await fill(redis, 95)
    await redis.xtrim(TOPIC, maxlen=40, approximate=False)
    before = await group_stats(settings)
    # Three were delivered; one of them and the two leased ahead, if any, were given back and trimmed.
    assert before.lost + before.pending >= 58
    async with (
        backend_of(settings) as first,
        backend_of(settings) as second,
        first.consume() as events,
        second.consume() as others,
    ):
        received: set[int] = set()

        async def receive(from_: EventStream) -> None:
            async for event in from_:
                received.add(event["n"])
                if len(received) == 40:
                    await events.aclose()
                    await others.aclose()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive, events)
                tasks.start_soon(receive, others)
    stats = await group_stats(settings)
    assert stats.lost == 58
    sentences = [sentence for sentence in losses(caplog) if "gone before" in sentence]
    assert sum(int(sentence.split()[0]) for sentence in sentences) == 58
    assert "lost 58 events" in await advice(settings)


async def test_entries_trimmed_under_a_busy_consumer_are_counted(
    redis: Redis, settings: dict[str, Any]
) -> None:
    """The next read makes Valkey forget it, and a busy consumer reads again at once."""
    await redis.xgroup_create(TOPIC, "default", "0", mkstream=True)
    await fill(redis, 300)
    received: set[int] = set()
    async with backend_of(settings) as backend, backend.consume() as events:
        async for event in events:
            received.add(event["n"])
            if event["n"] in {20, 230}:
                await anyio.sleep(0.05)
                await redis.xtrim(TOPIC, maxlen=100 if event["n"] == 20 else 10, approximate=False)
            if event["n"] == 299:
                break
    assert len(received) < 300
    assert (await group_stats(settings)).lost == 300 - len(received)


async def test_lag_is_right_after_a_loss(redis: Redis, settings: dict[str, Any]) -> None:
    """Redis 7.0 counts what was trimmed unread as lag for ever."""
    await redis.xgroup_create(TOPIC, "default", "0", mkstream=True)
    await fill(redis, 2)
    async with backend_of(settings) as backend, backend.consume() as events:
        await take(events, 2)
        await fill(redis, 10)
        await events.aclose()
    await redis.xtrim(TOPIC, maxlen=4, approximate=False)
    stats = await group_stats(settings)
    assert stats.lag == 4
    assert stats.lost == 6
    async with backend_of(settings) as backend, backend.consume() as events:
        await take(events, 4)
    stats = await group_stats(settings)
    assert (stats.lag, stats.lost) == (0, 7), "with the one that was given back, and trimmed"


async def test_a_pending_entry_that_somebody_deletes_is_counted(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await fill(redis, 3)
    await redis.xgroup_create(TOPIC, "default", "0")
    reply: Any = await redis.xreadgroup("default", "dead", {TOPIC: ">"})
    await redis.xdel(TOPIC, reply[0][1][1][0])
    async with (
        backend_of(settings, redis_stream_lease_seconds=0.5) as backend,
        backend.consume() as events,
    ):
        assert [event["n"] for event in await take(events, 2)] == [0, 2]
    assert (await group_stats(settings)).lost == 1
    assert len([sentence for sentence in losses(caplog) if sentence.startswith("1 event of")]) == 1


@pytest.mark.promise("they are not lost in silence")
async def test_a_stream_that_is_deleted_takes_work_with_it(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await fill(redis, 12)
    async with backend_of(settings) as backend, backend.consume() as events:
        await take(events, 2)

        async def recorded() -> bool:
            floor: Any = await redis.hget(RECORDS, "floor default")
            return floor is not None and floor.endswith(b" 12 11")

        await until(recorded)
        await redis.delete(TOPIC)

        async def told() -> bool:
            return any(sentence.startswith("11 events") for sentence in losses(caplog))

        await until(told)
        assert 0 < await redis.ttl(RECORDS) <= 7 * 86_400, "nothing stays for ever of a stream that is gone"
        await fill(redis, 1)
        while (await take_one(events))["n"]:
            pass  # what it had leased ahead
    assert await redis.ttl(RECORDS) == -1
    assert (await group_stats(settings)).lost == 11


@pytest.mark.promise("the log of each worker that had read the stream says so, and nobody knows how many")
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("again", [False, True], ids=["and-nothing-comes", "and-events-come"])
async def test_a_worker_says_that_redis_has_lost_everything(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture, *, ordered: bool, again: bool
) -> None:
    received = list[int]()

    async def handle(event: Event) -> None:
        received.append(event["n"])
        if len(received) == 1:
            await redis.flushall()
            if again:
                await fill(redis, 2)
        await anyio.sleep(0.05)

    async def is_said() -> bool:
        return "Redis has lost what it knew of group 'default' of 'slack_events'" in caplog.text

    await fill(redis, 600)
    async with backend_of(settings) as backend, anyio.create_task_group() as tasks:
        worker = EventWorker(backend, handle, ordered=ordered)
        tasks.start_soon(worker.run)
        await until(is_said)
        await fill(redis, 1)
        await until(lambda: is_recorded(redis))
        await worker.shutdown()
    assert caplog.text.count("has lost what it knew") == 1


async def test_a_worker_whose_group_was_removed_on_purpose_says_so(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    received = list[int]()

    async def handle(event: Event) -> None:
        received.append(event["n"])

    async def handled() -> bool:
        return len(received) == 3

    async def is_said() -> bool:
        return "was removed by `abe-redis group remove`" in caplog.text

    await fill(redis, 3)
    async with backend_of(settings) as backend, anyio.create_task_group() as tasks:
        worker = EventWorker(backend, handle)
        tasks.start_soon(worker.run)
        await until(handled)
        await Groups(Scope(backend)).remove(TOPIC, "default", force=True)
        await until(is_said)
        await worker.shutdown()
    assert "has lost what it knew" not in caplog.text


async def test_a_deleted_stream_is_counted_and_not_said_to_be_forgotten(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    received = list[int]()

    async def handle(event: Event) -> None:
        received.append(event["n"])
        if len(received) == 1:
            await redis.delete(TOPIC)

    await fill(redis, 3)
    async with backend_of(settings) as backend, anyio.create_task_group() as tasks:
        worker = EventWorker(backend, handle)
        tasks.start_soon(worker.run)
        await until(lambda: _is(lambda: "gone before group" in caplog.text))
        had = len(received)
        await fill(redis, 3)
        await until(lambda: _is(lambda: len(received) == had + 3))
        await worker.shutdown()
    assert "has lost what it knew" not in caplog.text


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()

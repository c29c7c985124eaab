"""Entries deleted in mid-stream count as lost once; what operators change and erase does not."""

from contextlib import suppress
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventStream, EventWorker, Operations
from abe_redis.errors import LeaseLostError
from abe_redis.streams import manage
from abe_redis.streams.erase import erase
from tests.integration.conftest import take_one, until
from tests.integration.consuming.counted_losses import (
    TOPIC,
    backend_of,
    counted,
    fill,
    group_stats,
    is_recorded,
    redis_url,
    settings,
)

__all__ = ["redis_url", "settings"]


async def ids_of(redis: Redis) -> list[Any]:
    entries: Any = await redis.xrange(TOPIC)
    return [entry_id for entry_id, _ in entries]


@pytest.mark.promise("What XDEL removes from among undelivered events is counted as soon as")
@pytest.mark.parametrize("ordered", [False, True])
async def test_undelivered_entries_deleted_in_mid_stream_are_counted_once(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture, *, ordered: bool
) -> None:
    """Redis forgets with the next read how many entries the group was given."""
    await fill(redis, 1000)
    received, deleted = set[int](), list[int]()

    async def handle(event: Event) -> None:
        received.add(event["n"])
        if len(received) in {20, 60}:
            deleted.append(await delete_unread(redis, every=1 if len(received) == 20 else 2, most=20))
        await anyio.sleep(0.005)

    async with (
        backend_of(settings) as backend,
        backend_of(settings) as another,
        anyio.create_task_group() as tasks,
    ):
        workers = [EventWorker(one, handle, ordered=ordered) for one in (backend, another)]
        for worker in workers:
            tasks.start_soon(worker.run)
        await until(lambda: is_recorded(redis))
        await until(lambda: is_lost(settings, sum(deleted)))
        await fill(redis, 1)
        await until(lambda: is_recorded(redis))
        for worker in workers:
            await worker.shutdown()
    assert deleted == [20, 20]
    assert len(received) == 960
    assert (await group_stats(settings)).lost == 40
    assert counted(caplog) == 40


_DELETE_UNREAD = """
local of = redis.call('XINFO', 'GROUPS', KEYS[1])[1]
local last, deleted = nil, 0
for i = 1, #of, 2 do if of[i] == 'last-delivered-id' then last = of[i + 1] end end
local unread = redis.call('XRANGE', KEYS[1], '(' .. last, '+')
for i = 11, #unread - 10, tonumber(ARGV[1]) do
  if deleted < tonumber(ARGV[2]) then deleted = deleted + redis.call('XDEL', KEYS[1], unread[i][1]) end
end
return deleted
"""


async def delete_unread(redis: Redis, *, every: int, most: int) -> int:
    """Delete entries that the group was not given yet, one out of so many; how far it is depends on time."""
    deleted: Any = await redis.eval(_DELETE_UNREAD, 1, TOPIC, every, most)
    return int(deleted)


async def is_lost(settings: dict[str, Any], count: int, group: str = "default") -> bool:
    return (await group_stats(settings, group)).lost == count


async def finish_all(redis: Redis, settings: dict[str, Any], group: str = "default") -> list[int]:
    """What a consumer of the group receives until it is on record that it has finished all."""
    received: list[int] = []

    async def receive(events: EventStream) -> None:
        async for event in events:
            received.append(event["n"])  # noqa: PERF401 - what it has at any time counts

    async with (
        backend_of(settings) as backend,
        backend.consume(group=group) as events,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(receive, events)
        await until(lambda: is_recorded(redis, group))
        tasks.cancel_scope.cancel()
    return received


@pytest.mark.promise("they are not lost in silence")
@pytest.mark.promise("A worker counts the losses each second and when it joins")
async def test_undelivered_entries_deleted_while_no_consumer_runs_are_counted_for_each_group_there_is(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await fill(redis, 50)
    for group in ("one", "two"):
        assert len(await finish_all(redis, settings, group)) == 50
    await fill(redis, 50)
    await redis.xdel(TOPIC, *(await ids_of(redis))[60:80])
    for group, count in (("one", 30), ("two", 30), ("late", 80)):
        assert len(await finish_all(redis, settings, group)) == count
    await fill(redis, 1)
    assert len(await finish_all(redis, settings, "one")) == 1
    assert [(await group_stats(settings, group)).lost for group in ("one", "two", "late")] == [20, 20, 0]
    assert counted(caplog) == 40


async def test_deletions_in_front_of_many_are_counted_when_fewer_are_left(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """So that no count holds up the server for long."""
    await redis.xgroup_create(TOPIC, "default", "0", mkstream=True, entries_read=0)
    await fill(redis, 12_000)
    await redis.xdel(TOPIC, *(await ids_of(redis))[11_000:11_100])
    assert len(await finish_all(redis, settings)) == 11_900
    assert (await group_stats(settings)).lost == counted(caplog) == 100


async def test_an_operators_change_does_not_look_like_a_loss(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Erasing, deleting what is finished, replaying, and setting a group to another place."""
    await fill(redis, 20)
    await finish_all(redis, settings)
    await fill(redis, 80)
    there = [entry_id.decode() for entry_id in await ids_of(redis)]
    await erase(redis, TOPIC, there[40:60])
    assert len(await finish_all(redis, settings)) == 60
    await redis.xgroup_setid(TOPIC, "default", there[30])
    assert len(await finish_all(redis, settings)) == 49
    await redis.xdel(TOPIC, *there[5:10])
    await redis.xgroup_setid(TOPIC, "default", "0")
    assert len(await finish_all(redis, settings)) == 75
    await manage.reset(redis, TOPIC, "default", "0-0", force=True)
    await fill(redis, 1)
    assert len(await finish_all(redis, settings)) == 76
    assert (await group_stats(settings)).lost == 0
    assert counted(caplog) == 0


@pytest.mark.parametrize("nacked", [0, 3])
async def test_what_is_erased_while_it_is_handled_is_not_lost(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture, nacked: int
) -> None:
    await fill(redis, 10)
    async with backend_of(settings) as backend, backend.consume() as events:
        held = [await take_one(events) for _ in range(5)]
        await erase(redis, TOPIC, [entry_id.decode() for entry_id in await ids_of(redis)][:7])
        for event in held[:nacked]:
            with suppress(LeaseLostError):
                await event.nack(delay=1)
    assert (await group_stats(settings)).lost == 0
    assert counted(caplog) == 0


@pytest.mark.promise(
    "When the whole stream is deleted (DEL, eviction), the number comes from the last record"
)
async def test_a_stream_deleted_before_anything_was_finished_is_counted(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What a group has to do is on record from the moment at which a consumer joins."""
    await fill(redis, 30)
    async with backend_of(settings) as backend, backend.consume() as events:
        await take_one(events)
        await redis.delete(TOPIC)
        await fill(redis, 1)
        before = await destroyed_lost(settings)
        await until(lambda: is_told(caplog))
    assert before in {None, 30}
    assert (await group_stats(settings)).lost == counted(caplog) == 30


@pytest.mark.parametrize("how", ["created", "reset"])
@pytest.mark.parametrize("removed", ["stream", "unread", "some"])
@pytest.mark.promise("they are not lost in silence")
async def test_what_is_removed_in_front_of_a_group_that_begins_in_mid_stream_is_counted(
    redis: Redis, settings: dict[str, Any], how: str, removed: str
) -> None:
    await fill(redis, 50)
    await anyio.sleep(0.01)  # in the same millisecond, a stream made anew would give the same ids again
    there = await ids_of(redis)
    await redis.xdel(TOPIC, there[30])  # Redis knows no lag then
    if how == "created":
        await manage.create(redis, TOPIC, "default", there[9].decode())
    else:
        await finish_all(redis, settings)
        await manage.reset(redis, TOPIC, "default", there[9].decode(), force=True)
    if removed == "stream":
        await redis.delete(TOPIC)
    elif removed == "unread":
        await redis.xtrim(TOPIC, maxlen=5, approximate=False)
    else:
        await redis.xdel(TOPIC, *there[20:25])
    await fill(redis, 1)
    left, count = {"stream": (1, 39), "unread": (6, 34), "some": (35, 5)}[removed]
    assert len(await finish_all(redis, settings)) == left
    assert (await group_stats(settings)).lost == count


async def destroyed_lost(settings: dict[str, Any]) -> int | None:
    async with backend_of(settings) as backend:
        stats = await Operations(backend).stream_stats(stream=TOPIC)
    return next((one.lost for one in stats.streams[0].groups if one.destroyed), None)


async def is_told(caplog: pytest.LogCaptureFixture) -> bool:
    return counted(caplog) > 0

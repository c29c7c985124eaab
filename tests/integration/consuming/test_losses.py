"""What is removed before a group has finished it: by disuse, by somebody else, and never by us otherwise."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventStream, EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from abe_redis.errors import LeaseLostError
from abe_redis.schemas import GroupStats
from abe_redis.streams import manage, names
from abe_redis.streams.erase import erase
from tests.integration.conftest import take, take_one, until
from tests.patience import PATIENCE

TOPIC = "slack_events"
UNUSED = {"redis_stream_group_idle_days": 2 / 86_400, "redis_stream_maxlen": 100}
"""A group counts as unused after two seconds."""

RECORDS = names.records(TOPIC)


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture
def settings(either_url: str) -> dict[str, Any]:
    return {"redis_url": either_url}


def backend_of(settings: dict[str, Any], **more: Any) -> RedisMessageQueueBackend:
    return RedisMessageQueueBackend(Settings(**settings | more))


async def fill(redis: Redis, count: int) -> None:
    pipeline = redis.pipeline(transaction=False)
    for number in range(count):
        pipeline.xadd(TOPIC, {"data": f'{{"n": {number}}}'})
    await pipeline.execute()


async def group_stats(settings: dict[str, Any], group: str = "default") -> GroupStats:
    async with backend_of(settings) as backend:
        stats = await Operations(backend).stream_stats(stream=TOPIC)
    (found,) = [one for one in stats.streams[0].groups if one.name == group]
    return found


async def advice(settings: dict[str, Any], **more: Any) -> str:
    async with backend_of(settings, **more) as backend:
        stats = await Operations(backend).stream_stats(stream=TOPIC)
    return stats.streams[0].advice


def losses(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- Disuse ---------------------------------------------------------------------------------------------


@pytest.mark.promise("so does trimming, once nobody has used the group for")
@pytest.mark.promise(
    "Trimming removes events beyond `REDIS_STREAM_MAXLEN` only when every group has finished them"
)
async def test_a_stray_group_holds_trimming_only_for_its_idle_time(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await fill(redis, 1000)
    await redis.xgroup_create(TOPIC, "stray", "0")
    await redis.xreadgroup("stray", "gone", {TOPIC: ">"}, count=30)
    await redis.xgroup_create(TOPIC, "live", "$")
    async with backend_of(settings, **UNUSED) as publisher:
        await publisher.publish(TOPIC, {"n": "first"})
        assert await redis.xlen(TOPIC) == 1001, "the stray group is waited for"
        assert not losses(caplog)
        await anyio.sleep(2.2)

        async def trimmed() -> bool:
            await publisher.publish(TOPIC, {"n": "more"})
            return await redis.xlen(TOPIC) < 250

        await until(trimmed)
    given_up = [sentence for sentence in losses(caplog) if "Gave up" in sentence]
    counted = sum(int(sentence.split()[2]) for sentence in given_up)
    assert all("'stray'" in sentence and "REDIS_STREAM_GROUP_IDLE_DAYS" in sentence for sentence in given_up)
    left = await redis.xlen(TOPIC)
    published: Any = await redis.xinfo_stream(TOPIC)
    assert counted == published["entries-added"] - left, "every entry that it had not finished is counted"
    stats = await group_stats(settings, "stray")
    assert (stats.lost, stats.pending, stats.lag) == (counted, 0, left)
    assert (await group_stats(settings, "live")).lost == 0

    caplog.clear()
    async with backend_of(settings) as backend, backend.consume(group="stray") as events:
        assert len(await take(events, left)) == left, "it goes on with what is left"
    assert not losses(caplog), "nothing is counted twice"
    assert (await group_stats(settings, "stray")).lost == counted


async def test_a_group_that_is_used_is_waited_for_however_slow_it_is(
    redis: Redis, settings: dict[str, Any]
) -> None:
    await fill(redis, 500)
    async with (
        backend_of(settings, **UNUSED, redis_stream_lease_seconds=0.5) as backend,
        backend.consume() as events,
        backend_of(settings, **UNUSED) as publisher,
    ):
        await take_one(events)
        for _ in range(25):
            await publisher.publish(TOPIC, {})
            await anyio.sleep(0.1)
        assert await redis.xlen(TOPIC) == 525
    assert await redis.xlen(TOPIC) == 525
    stats = await group_stats(settings)
    assert stats.unused_seconds is not None
    assert stats.unused_seconds < 30, "it was used until its consumer left"
    async with backend_of(settings, redis_stream_group_idle_days=0, redis_stream_maxlen=100) as publisher:
        await anyio.sleep(2.2)
        await publisher.publish(TOPIC, {})
    assert await redis.xlen(TOPIC) == 526, "0: for ever"


async def test_the_doctor_warns_before_a_group_is_given_up(redis: Redis, settings: dict[str, Any]) -> None:
    await fill(redis, 3)
    await redis.xgroup_create(TOPIC, "stray", "0")
    now: Any = await redis.time()
    for days, says in ((6.5, "in 0.5 days trimming will not wait"), (7.5, "does not wait for it any more")):
        await redis.hset(RECORDS, "used stray", str(now[0] - int(days * 86_400)))
        findings = [one.found for one in await examine(Settings(**settings)) if one.check == "streams"]
        assert any(says in found and "'stray'" in found for found in findings)
        assert says in await advice(settings)
    await redis.hset(RECORDS, "used stray", str(now[0] - 5 * 86_400))
    assert "trimming" not in await advice(settings)


# --- Somebody else --------------------------------------------------------------------------------------


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
    sentences = [sentence for sentence in losses(caplog) if "removed before" in sentence]
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


# --- Deleted in mid-stream ------------------------------------------------------------------------------


async def ids_of(redis: Redis) -> list[Any]:
    entries: Any = await redis.xrange(TOPIC)
    return [entry_id for entry_id, _ in entries]


def counted(caplog: pytest.LogCaptureFixture) -> int:
    sentences = [sentence for sentence in losses(caplog) if "removed before" in sentence]
    return sum(int(sentence.split()[0]) for sentence in sentences)


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
        await until(lambda: _is(lambda: "removed before group" in caplog.text))
        had = len(received)
        await fill(redis, 3)
        await until(lambda: _is(lambda: len(received) == had + 3))
        await worker.shutdown()
    assert "has lost what it knew" not in caplog.text


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()


async def is_lost(settings: dict[str, Any], count: int, group: str = "default") -> bool:
    return (await group_stats(settings, group)).lost == count


async def is_recorded(redis: Redis, group: str = "default") -> bool:
    """Whether the group has finished all, and that is on record."""
    if not await redis.exists(TOPIC):
        return False
    info: Any = await redis.xinfo_stream(TOPIC)
    last = info["last-generated-id"]
    groups = {row["name"].decode(): row for row in await redis.xinfo_groups(TOPIC)}
    floor: Any = await redis.hget(RECORDS, f"floor {group}")
    given = group in groups and groups[group]["last-delivered-id"] == last
    return bool(given and floor == b"%b %d 0" % (last, info["entries-added"]))


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


async def destroyed_lost(settings: dict[str, Any]) -> int | None:
    async with backend_of(settings) as backend:
        stats = await Operations(backend).stream_stats(stream=TOPIC)
    return next((one.lost for one in stats.streams[0].groups if one.destroyed), None)


async def is_told(caplog: pytest.LogCaptureFixture) -> bool:
    return counted(caplog) > 0


# --- Not by us ------------------------------------------------------------------------------------------


async def test_a_consumer_that_is_far_behind_loses_nothing(redis: Redis, settings: dict[str, Any]) -> None:
    behind = 50_000
    await redis.xgroup_create(TOPIC, "default", "0", mkstream=True)
    for _ in range(behind // 5000):
        await fill(redis, 5000)
    received = 0
    async with (
        backend_of(settings, redis_stream_maxlen=1000) as publisher,
        backend_of(settings, redis_stream_maxlen=1000) as backend,
        backend.consume() as events,
    ):
        with anyio.fail_after(PATIENCE):
            async for event in events:
                received += 1
                if received % 1000 == 1:
                    await publisher.publish(TOPIC, {"late": event.id})
                if received == behind + 50:
                    break

        async def short() -> bool:
            await publisher.publish(TOPIC, {"type": "message"})
            return await redis.xlen(TOPIC) <= 1300

        await until(short)
    stats = await group_stats(settings)
    assert stats.lost == 0
    assert stats.pending + (stats.lag or 0) <= await redis.xlen(TOPIC)

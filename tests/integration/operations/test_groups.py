"""Groups that are made, moved, removed, replayed to and paused by hand."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import RequestError
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.schemas import GroupStats
from abe_redis.streams import names
from tests.integration.conftest import pending, until
from tests.patience import PATIENCE

TOPIC = "slack_events"
RECORDS = names.records(TOPIC)
HOUR = 3_600_000


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture
def groups(backend: RedisMessageQueueBackend) -> Groups:
    return Groups(Scope(backend))


async def fill(redis: Redis, count: int, *, hours_ago: int | None = None) -> list[str]:
    """Entries of now, or one per hour."""
    pipeline = redis.pipeline(transaction=False)
    now: Any = await redis.time()
    for number in range(count):
        at = "*" if hours_ago is None else f"{now[0] * 1000 - (hours_ago - number) * HOUR}-0"
        pipeline.xadd(TOPIC, {"data": f'{{"n": {number}}}'}, id=at)
    return [entry_id.decode() for entry_id in await pipeline.execute()]


async def stats(backend: RedisMessageQueueBackend, name: str) -> GroupStats:
    found = (await Operations(backend).stream_stats(stream=TOPIC)).streams[0].groups
    return next(one for one in found if one.name == name)


async def received(backend: RedisMessageQueueBackend, group: str, count: int) -> list[int]:
    """The next events of a group, all acked, each at its first delivery."""
    numbers: list[int] = []

    async def handle(event: Event) -> None:
        assert event.deliveries == 1
        numbers.append(event["n"])
        if len(numbers) == count:
            await worker.shutdown()

    worker = EventWorker(backend, handle, group=group, concurrency=1)
    with anyio.fail_after(PATIENCE):
        await worker.run()
    return numbers


async def finish(redis: Redis, group: str) -> None:
    """As a group that has read and acked everything."""
    reply: Any = await redis.xreadgroup(group, "c", {TOPIC: ">"})
    await redis.xack(TOPIC, group, *[row[0] for row in reply[0][1]])


# --- Create, reset, remove ------------------------------------------------------------------------------


async def test_a_group_starts_at_the_given_position(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    ids = await fill(redis, 10, hours_ago=10)
    of_id_3 = datetime.fromtimestamp(int(ids[3].partition("-")[0]) / 1000, UTC)
    starts = {
        "beginning": 0,
        ids[0]: 0,
        ids[4]: 4,
        ids[4].removesuffix("-0"): 4,
        of_id_3.isoformat(): 3,
        of_id_3.replace(tzinfo=None).isoformat(): 3,
        "270m": 6,
        "9w": 0,
        "now": 10,
    }
    for number, start in enumerate(starts):
        assert (await groups.create(TOPIC, f"g{number}", start=start)).done == "created"
    for number, (start, first) in enumerate(starts.items()):
        lag = (await stats(backend, f"g{number}")).lag
        assert lag == 10 - first or (0 < first < 10 and lag is None), f"{start}: right, or not known"
    await fill(redis, 1)
    for number, (start, first) in enumerate(starts.items()):
        expected = [*range(first, 10), 0]
        assert await received(backend, f"g{number}", len(expected)) == expected, start
        assert (await stats(backend, f"g{number}")).lag == 0
        assert (await stats(backend, f"g{number}")).lost == 0


async def test_invalid_changes_of_a_group_are_refused(redis: Redis, groups: Groups) -> None:
    await fill(redis, 2)
    await groups.create(TOPIC, "bot")
    for stream, group, start, says in (
        (TOPIC, "bot", "now", "already"),
        ("slack:none", "x", "now", "does not exist"),
        (names.dead_letters(TOPIC), "x", "now", "dead letters"),
        ("elsewhere", "x", "now", "REDIS_STREAM_PATTERNS"),
        (TOPIC, "x", "yesterday", "no point in a stream"),
        (TOPIC, "x", "1..5h", "no duration"),
    ):
        with pytest.raises(RequestError, match=says):
            await groups.create(stream, group, start=start)
    for call in (groups.remove, groups.pause, groups.resume, groups.replay):
        with pytest.raises(RequestError, match="no group 'none'"):
            await call(TOPIC, "none")
    assert [one.name for one in (await groups.describe(TOPIC)).groups] == ["bot"], (
        "nothing was made on the way"
    )


@pytest.mark.promise("No group stays beyond its stream's end")
async def test_a_point_that_is_still_to_come_is_refused(redis: Redis, groups: Groups) -> None:
    ids = await fill(redis, 3)
    await groups.create(TOPIC, "bot", start="now")
    before = await redis.xinfo_groups(TOPIC)
    tomorrow = datetime.now(UTC) + timedelta(hours=9)
    for start in (
        "2099-01-01T00:00",
        tomorrow.strftime("%Y-%m-%dT%H:%M"),
        "9999999999999-0",
        "9999999999999",
    ):
        for call in (
            groups.create(TOPIC, "new", start=start),
            groups.reset(TOPIC, "bot", start=start, force=True),
            groups.replay(TOPIC, "bot", first=start),
            groups.replay(TOPIC, "bot", last=start),
            groups.replay(TOPIC, "bot", until=start),
        ):
            with pytest.raises(RequestError, match=r"still to come: the server's clock says .* UTC") as error:
                await call
            assert repr(start) in str(error.value)
            assert f"the newest entry of 'slack_events' is {ids[-1]}" in str(error.value)
            assert "write now" in str(error.value)
    assert await redis.xinfo_groups(TOPIC) == before
    await redis.xtrim(TOPIC, maxlen=0)
    with pytest.raises(RequestError, match="'slack_events' has no entry"):
        await groups.create(TOPIC, "new", start="2099-01-01")


async def test_a_point_behind_the_newest_event_is_the_end_of_the_stream(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    ids = await fill(redis, 2, hours_ago=5)
    await groups.create(TOPIC, "made", start="1h")
    await groups.create(TOPIC, "moved")
    await groups.reset(TOPIC, "moved", start=datetime.now(UTC).isoformat(), force=True)
    positions = {row["last-delivered-id"].decode() for row in await redis.xinfo_groups(TOPIC)}
    assert positions == {ids[-1]}
    # Ids in between may come yet: from publishers that choose them, and while the clock is set back.
    await redis.xadd(TOPIC, {"data": '{"n": 2}'}, id=f"{ids[-1].partition('-')[0]}-7")
    for group in ("made", "moved"):
        assert await received(backend, group, 1) == [2]


async def test_an_id_that_the_stream_has_is_never_still_to_come(redis: Redis, groups: Groups) -> None:
    """Publishers may choose ids ahead of the clock."""
    chosen = [f"{1_795_000_000_000_000 + number}-0" for number in range(3)]
    for one in chosen:
        await redis.xadd(TOPIC, {"data": "{}"}, id=one)
    await groups.create(TOPIC, "bot", start=chosen[1])
    (row,) = await redis.xinfo_groups(TOPIC)
    assert row["last-delivered-id"] < chosen[1].encode()
    await redis.xreadgroup("bot", "c", {TOPIC: ">"})
    assert (await groups.replay(TOPIC, "bot", first=chosen[1], last=chosen[2])).done == "nothing"


async def test_a_reset_delivers_what_is_behind_again(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    ids = await fill(redis, 8)
    await groups.create(TOPIC, "bot")
    await redis.xreadgroup("bot", "gone", {TOPIC: ">"}, count=6)
    await redis.xack(TOPIC, "bot", ids[5])
    with pytest.raises(RequestError, match="5 pending events"):
        await groups.reset(TOPIC, "bot", start="beginning")
    assert await pending(redis, TOPIC, "bot") == 5
    change = await groups.reset(TOPIC, "bot", start=ids[2], force=True)
    assert (change.done, change.events) == ("reset", 5)
    assert await received(backend, "bot", 6) == [2, 3, 4, 5, 6, 7]
    await groups.reset(TOPIC, "bot", start="beginning")
    assert (await stats(backend, "bot")).lag == 8
    for start in ("now", ids[4]):  # what is before that would never be delivered
        with pytest.raises(RequestError, match=rf"has {4 if start == ids[4] else 8} undelivered events"):
            await groups.reset(TOPIC, "bot", start=start)
    assert (await stats(backend, "bot")).lag == 8
    change = await groups.reset(TOPIC, "bot", start="now", force=True)
    assert change.note == "It goes on from now. It let go of 8 undelivered events."
    found = await stats(backend, "bot")
    assert (found.pending, found.lag, found.lost) == (0, 0, 0)


async def test_a_group_is_removed_with_all_that_is_known_of_it(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    await fill(redis, 3)
    await groups.create(TOPIC, "bot")
    await groups.create(TOPIC, "bot 2")
    with pytest.raises(RequestError, match="0 pending and 3 undelivered"):
        await groups.remove(TOPIC, "bot")
    await redis.xreadgroup("bot", "c", {TOPIC: ">"})
    with pytest.raises(RequestError, match="3 pending and 0 undelivered"):
        await groups.remove(TOPIC, "bot")
    await groups.pause(TOPIC, "bot")
    await redis.hset(RECORDS, mapping={"floor bot": "5-0 1 0", "lost bot": "3", "floor bot 2": "5-0 1 0"})
    await redis.zadd(names.due(TOPIC, "bot"), {"1-0": 1})
    change = await groups.remove(TOPIC, "bot", force=True)
    assert (change.done, change.events) == ("removed", 3)
    assert set(await redis.hgetall(RECORDS)) == {b"used bot 2", b"floor bot 2"}
    assert not await redis.exists(names.due(TOPIC, "bot"))
    assert await received(backend, "bot", 3) == [0, 1, 2], "a new one of that name starts at the beginning"
    assert (await groups.remove(TOPIC, "bot")).note == "It had finished everything."


# --- Replay ---------------------------------------------------------------------------------------------


async def test_a_range_is_replayed_to_one_group(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    ids = await fill(redis, 12, hours_ago=12)
    for name in ("bot", "audit"):
        await groups.create(TOPIC, name)
        await finish(redis, name)
    await redis.xdel(TOPIC, ids[4])
    await redis.xadd(TOPIC, {"data": '{"n": 50}', "abe:only": "audit"})
    await finish(redis, "bot")
    await fill(redis, 1)
    await redis.xreadgroup("bot", "c", {TOPIC: ">"})
    assert (await groups.replay(TOPIC, "bot", first=ids[2], last="330m")).events == 4
    assert (await groups.replay(TOPIC, "bot", first="330m")).events == 5, "not what is for another group"
    assert (await groups.replay(TOPIC, "bot", first=ids[2])).done == "nothing", "what waits is not doubled"
    assert (await groups.replay(TOPIC, "bot", first="now", last="beginning")).done == "nothing"
    assert await received(backend, "bot", 9) == [2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert await pending(redis, TOPIC, "bot") == 1, "what a consumer holds is left to it"
    assert await pending(redis, TOPIC, "audit") == 0
    assert (await stats(backend, "bot")).lost == 0


async def test_thousands_are_replayed_but_not_what_is_delivered_meanwhile(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    await fill(redis, 3000)
    await groups.create(TOPIC, "bot")
    await finish(redis, "bot")

    async def go_on() -> None:
        while True:
            await fill(redis, 20)
            await finish(redis, "bot")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_on)
        change = await groups.replay(TOPIC, "bot")
        tasks.cancel_scope.cancel()
    assert 3000 <= change.events <= 3020 + 20
    numbers = Counter(await received(backend, "bot", 3000))
    assert numbers == Counter(range(3000))


# --- Pause ----------------------------------------------------------------------------------------------


async def test_a_paused_group_stands_still_and_goes_on(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups, either_url: str
) -> None:
    """Nothing is lost, nothing comes twice; what handlers are at is finished."""
    seen: Counter[int] = Counter()
    slow, begun = asyncio.Event(), asyncio.Event()

    async def handle(event: Event) -> None:
        if event["n"] == 50:
            begun.set()
            await slow.wait()
        seen[event["n"]] += 1

    async with RedisMessageQueueBackend(Settings(redis_url=either_url)) as second:
        workers = [EventWorker(of, handle, group="bot", concurrency=2) for of in (backend, second)]
        async with anyio.create_task_group() as tasks:
            await fill(redis, 60)
            for worker in workers:
                tasks.start_soon(worker.run)
            await begun.wait()
            assert (await groups.pause(TOPIC, "bot")).done == "paused"
            assert (await groups.pause(TOPIC, "bot")).done == "nothing"

            async def stands_still() -> bool:
                await backend.publish(TOPIC, {"n": 60 + len(published)})
                published.append(1)
                rows: Any = await redis.xpending_range(TOPIC, "bot", "-", "+", 100)
                held = [row for row in rows if row["time_since_delivered"] < HOUR]
                return len(held) == 1 and bool((await stats(backend, "bot")).lag)

            published: list[int] = []
            await until(stands_still)
            before = sum(seen.values())
            slow.set()

            async def finished() -> bool:
                rows: Any = await redis.xpending_range(TOPIC, "bot", "-", "+", 100)
                return not [row for row in rows if row["time_since_delivered"] < HOUR]

            await until(finished)
            assert sum(seen.values()) == before + 1
            with pytest.raises(RequestError, match="is paused"):
                await Operations(backend).read_stream(stream=TOPIC, group="bot")
            found = (await Operations(backend).stream_stats(stream=TOPIC)).streams[0]
            assert (found.health, found.groups[0].paused) == ("paused", True)
            total = 60 + len(published)
            assert sum(seen.values()) == before + 1 < total
            assert (await groups.resume(TOPIC, "bot")).done == "resumed"
            assert (await groups.resume(TOPIC, "bot")).done == "nothing"

            async def all_done() -> bool:
                return len(seen) == total and not await pending(redis, TOPIC, "bot")

            await until(all_done)
            for worker in workers:
                await worker.shutdown()
        assert seen == Counter(range(total))


async def test_trimming_waits_for_a_paused_group(redis: Redis, groups: Groups, either_url: str) -> None:
    await fill(redis, 400)
    await groups.create(TOPIC, "bot")
    await groups.pause(TOPIC, "bot")
    await redis.hset(RECORDS, "used bot", "1")
    settings = Settings(redis_url=either_url, redis_stream_maxlen=100, redis_stream_group_idle_days=1)
    async with RedisMessageQueueBackend(settings) as publisher:
        await publisher.publish(TOPIC, {"n": 400})
        assert await redis.xlen(TOPIC) == 401
        await groups.resume(TOPIC, "bot")
        await publisher.publish(TOPIC, {"n": 401})
        assert await redis.xlen(TOPIC) == 402, "resuming counts as use"
        await redis.hset(RECORDS, "used bot", "1")

        async def trimmed() -> bool:
            await publisher.publish(TOPIC, {"n": 0})
            return await redis.xlen(TOPIC) < 400

        await until(trimmed)


async def test_neighbouring_ranges_replay_the_event_at_their_border_once(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    """`until` leaves its point out, as in every filter; `last` is an event that is delivered, too."""
    hours = [f"2025-11-24T{hour}:00" for hour in (10, 11, 12)]
    for at in (1_763_978_400_000, 1_763_980_000_000, 1_763_982_000_000, 1_763_984_000_000, 1_763_985_600_000):
        await redis.xadd(TOPIC, {"data": "{}"}, id=f"{at}-0")
    await groups.create(TOPIC, "bot")
    await finish(redis, "bot")
    first = await groups.replay(TOPIC, "bot", first=hours[0], until=hours[1])
    second = await groups.replay(TOPIC, "bot", first=hours[1], until=hours[2])
    assert (first.events, second.events) == (2, 2)
    assert (await groups.replay(TOPIC, "bot", until="beginning")).done == "nothing"

"""Groups that are made, moved and removed by hand."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.errors import RequestError
from abe_redis.operations.groups import Groups
from abe_redis.streams import names
from tests.integration.conftest import pending, until
from tests.integration.operations.groups_of_numbers import (
    RECORDS,
    TOPIC,
    fill,
    groups,
    received,
    redis_url,
    stats,
)

__all__ = ["groups", "redis_url"]


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
    assert set(await redis.hgetall(RECORDS)) == {
        b"anew bot 2",
        b"began bot 2",
        b"used bot 2",
        b"floor bot 2",
        b"known bot 2",
        b"removed",
        b"changed",
    }
    assert not await redis.exists(names.due(TOPIC, "bot"))
    assert await received(backend, "bot", 3) == [0, 1, 2], "a new one of that name starts at the beginning"
    assert (await groups.remove(TOPIC, "bot")).note == "It had finished everything."


async def test_a_group_that_workers_read_is_removed_only_by_force(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    async def handle(_: Event) -> None:
        """Do it at once."""

    async def has_finished() -> bool:
        return worker.handled == 1 and (await stats(backend, "bot")).pending == 0

    await fill(redis, 1)
    worker = EventWorker(backend, handle, group="bot")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(has_finished)
        with pytest.raises(RequestError, match="has consumers that are alive, or were a lease ago"):
            await groups.remove(TOPIC, "bot")
        assert "makes it again" in (await groups.remove(TOPIC, "bot", force=True)).note
        await worker.shutdown()

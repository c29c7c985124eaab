"""What trimming leaves for groups that have not finished, and when it gives them up."""

import time
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Settings
from abe_redis.streams import lease, names
from abe_redis.streams.groups import Ensured, ensure_group
from abe_redis.streams.trim import STEP, Trimmed, Trimmer, is_over, trim
from tests.integration.conftest import until
from tests.integration.on_streams import A, B, C, entries, fill, hold, now_ms, recorded, rows
from tests.integration.streams.group_progress import DAY, add, group, removed, trim_in_an_hour

BLOCKED = Trimmed(removed=0, blocked=True, given_up={})


async def test_entries_beyond_the_bound_go_some_at_a_time(commands: Redis) -> None:
    for stream, count in ((A, 10), (B, 7), (C, STEP + 50)):
        for number in range(count):
            await commands.xadd(stream, {"data": str(number)})
        await commands.xgroup_create(stream, "done", "$")
    await commands.set("{t}d", "no stream")
    found = await trim(commands, [A, B, "{t}d", "{t}none", C], 7, idle_days=0)
    assert found == [removed(3), removed(0), removed(0), removed(0), removed(STEP)]
    assert [fields[b"data"] for _, fields in await entries(commands, A)] == [b"%d" % n for n in range(3, 10)]
    assert await trim(commands, [C], 7, idle_days=0) == [removed(43)]
    assert await trim(commands, [C], 7, idle_days=0) == [removed(0)]
    assert await commands.xlen(C) == 7


@pytest.mark.parametrize(
    ("read", "acked", "left"),
    [
        (0, [], 10),  # it has yet to read all of it
        (4, [0, 1, 2, 3], 7),  # what was read last is kept, too
        (8, [0, 1, 2, 3, 4, 5, 6, 7], 4),
        (8, [0, 1, 3, 4, 5, 6, 7], 8),  # the third is not finished
        (8, [], 10),
    ],
)
async def test_unfinished_entries_are_not_trimmed(
    commands: Redis, read: int, acked: list[int], left: int
) -> None:
    # Ids of different lengths, and of the same time: they are no strings to be compared.
    ids = ["8-9", "8-10", "9-1", "9-2", "10-0", "10-1", "99-0", "100-0", "101-9", "101-10"]
    await add(commands, A, *ids)
    for name in ("done", "g"):
        await commands.xgroup_create(A, name, "101-10" if name == "done" else "0")
    if read:
        await lease.take_new(commands, "g", "me", [A], count=read, block_ms=None)
    for at in acked:
        await commands.xack(A, "g", ids[at])
    expected = removed(10 - left) if left < 10 else BLOCKED
    assert await trim(commands, [A], 4, idle_days=0) == [expected]
    assert [entry_id for entry_id, _ in await entries(commands, A)] == ids[10 - left :]


async def unused_since(redis: Redis, seconds: float, *names_of: str) -> None:
    now = int(await now_ms(redis) / 1000)
    for name in names_of:
        await redis.hset(names.records(A), f"used {name}", str(now - int(seconds)))


async def test_an_unused_group_does_not_hold_back_trimming(commands: Redis) -> None:
    await fill(commands, A, 10)
    await commands.xgroup_create(A, "h", "$", entries_read=10)
    await commands.xgroup_create(A, "k", "0", entries_read=0)
    await unused_since(commands, 2.1 * DAY, "g", "k")
    found = await trim_in_an_hour(commands, A, 4, idle_days=2)
    assert found == [removed(6, g=6, k=6)]
    assert (await recorded(commands, A, "lost"), await commands.xlen(A)) == (b"6", 4)
    found_groups: Any = await commands.xinfo_groups(A)
    lags = {row["name"]: (row["lag"], row["last-delivered-id"]) for row in found_groups}
    assert lags[b"g"] == lags[b"k"] == (4, b"0-0")
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 0)]  # it is no news any more


@pytest.mark.parametrize("why", ["recent", "paused", "consumer", "unknown", "never"])
async def test_a_group_that_may_be_in_use_is_waited_for(commands: Redis, why: str) -> None:
    await fill(commands, A, 10)
    if why != "unknown":
        await unused_since(commands, (1.9 if why == "recent" else 2.1) * DAY, "g")
    if why == "paused":
        await commands.hset(names.records(A), "paused g", "1")
    if why == "consumer":
        await commands.xgroup_createconsumer(A, "g", "me")
    for _ in range(2):
        assert await trim(commands, [A], 4, idle_days=0 if why == "never" else 2) == [BLOCKED]
    assert await commands.xlen(A) == 10
    if why == "unknown":  # from now on
        assert abs(float(await recorded(commands, A, "used")) - await now_ms(commands) / 1000) < 60


async def test_a_group_gives_up_only_what_it_had_not_finished(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    await commands.xack(A, "g", ids[0])
    ids += await fill(commands, A, 7)
    await commands.xgroup_create(A, "h", ids[5])  # which needs what is behind that
    await commands.xgroup_createconsumer(A, "h", "someone")
    await anyio.sleep(2.1)
    await commands.xgroup_createconsumer(A, "h", "another")
    assert await trim_in_an_hour(commands, A, 4, idle_days=2 / DAY) == [removed(4, g=4)]
    assert await commands.xlen(A) == 5, "what it had finished went first"
    assert await rows(commands, A) == {}
    found: Any = await commands.xinfo_groups(A)
    of = {row["name"]: row for row in found}
    assert (of[b"g"]["last-delivered-id"].decode(), of[b"g"]["entries-read"], of[b"g"]["lag"]) == (
        ids[2],
        5,
        5,
    )
    assert await recorded(commands, A, "lost") == b"4"
    assert await commands.hget(names.records(A), "lost h") is None


async def test_entries_behind_the_cut_stay_pending(commands: Redis) -> None:
    ids = await hold(commands, A, 10)
    await anyio.sleep(0.2)
    assert await trim_in_an_hour(commands, A, 4, idle_days=0.1 / DAY) == [removed(6, g=6)]
    assert list(await rows(commands, A)) == ids[6:]
    assert await recorded(commands, A, "lost") == b"6"


async def test_one_that_is_given_up_counts_as_well(commands: Redis) -> None:
    for number in range(5):
        await commands.xadd(A, {"data": str(number)})
    await ensure_group(commands, [A], "g")
    await unused_since(commands, 3 * DAY, "g")
    assert await trim_in_an_hour(commands, A, 4, idle_days=2) == [removed(1, g=1)]
    assert (await group(commands, A))["entries-read"] == 1
    assert await recorded(commands, A, "lost") == b"1"


async def test_nothing_is_given_up_for_nothing(commands: Redis) -> None:
    """Another group, which is in use, needs all of it: it was given nothing yet."""
    await fill(commands, A, 10)
    await commands.xgroup_create(A, "h", "0")
    await unused_since(commands, 3 * DAY, "g")
    assert await trim_in_an_hour(commands, A, 4, idle_days=2) == [BLOCKED]
    assert await recorded(commands, A, "lost") is None


async def test_publishers_trim_beyond_a_step_and_leave_alone_what_is_needed(commands: Redis) -> None:
    trimmer = Trimmer(Settings(redis_stream_maxlen=100))
    assert not trimmer.is_due(A, 100 + STEP)
    assert trimmer.is_due(A, 101 + STEP)
    await fill(commands, A, 101 + STEP)
    began = time.monotonic()
    assert await trimmer.trim(commands, [A]) == []
    assert time.monotonic() - began > 0.5 or not trimmer.is_due(A, 101 + STEP)
    assert trimmer.is_due(B, 101 + STEP)

    async def is_due_again() -> bool:
        return trimmer.is_due(A, 101 + STEP)

    await until(is_due_again)
    assert time.monotonic() - began >= 0.9


async def test_a_trimmer_says_where_more_may_go(commands: Redis) -> None:
    trimmer = Trimmer(Settings(redis_stream_maxlen=100))
    for stream, count in ((A, 100 + 10 * STEP + 5), (B, 100 + STEP), (C, 100 + STEP + 1)):
        pipeline = commands.pipeline(transaction=False)
        for number in range(count):
            pipeline.xadd(stream, {"data": str(number)})
        pipeline.xgroup_create(stream, "done", "$")
        await pipeline.execute()
    assert await trimmer.trim(commands, [A, B, C]) == [A]
    assert [await commands.xlen(stream) for stream in (A, B, C)] == [105, 100, 100]
    assert await trimmer.trim(commands, [A, B, C]) == []
    assert await commands.xlen(A) == 100


def test_a_stream_is_over_its_bound_beyond_what_trimming_now_and_then_leaves() -> None:
    assert [is_over(length, 1000) for length in (1000, 1000 + 2 * STEP, 1001 + 2 * STEP)] == [
        False,
        False,
        True,
    ]

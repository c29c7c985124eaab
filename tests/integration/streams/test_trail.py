"""The trail of a group's records lacks what was read there before only if Redis has older data."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import beyond_end, names
from abe_redis.streams.groups import ensure_group, record_progress
from abe_redis.streams.trail import Trail

STREAM = "{t}one"
RECORDS = names.records(STREAM)
MOST_TIMES = 20


async def write(redis: Redis, count: int) -> None:
    for _ in range(count):
        (progress,) = await record_progress(redis, [STREAM], "g")
        assert progress.trail is not None


async def read(redis: Redis) -> Trail:
    found = (await beyond_end.set_back(redis, "g", [STREAM]))[STREAM]
    assert found is not None
    return found


async def clock_is_later(redis: Redis, trail: Trail) -> None:
    """Wait until the server's clock shows another millisecond than the newest record."""
    seconds, microseconds = await redis.time()
    while seconds * 1000 + microseconds // 1000 <= trail.times[-1]:
        seconds, microseconds = await redis.time()


@pytest.fixture
async def group(commands: Redis) -> None:
    await commands.xadd(STREAM, {"data": "{}"})
    await ensure_group(commands, [STREAM], "g")


@pytest.mark.usefixtures("group")
async def test_a_trail_keeps_the_last_times(commands: Redis) -> None:
    assert await beyond_end.set_back(commands, "g", [STREAM]) == {STREAM: None}, "nobody has recorded it"
    for count in range(1, MOST_TIMES + 5):
        await write(commands, 1)
        trail = await read(commands)
        assert trail.records == count
        assert len(trail.times) == min(count, MOST_TIMES)
        assert trail.times == sorted(trail.times)
    assert await record_progress(commands, [STREAM], "g", recent_seconds=3600) != []
    assert await read(commands) == trail, "only a record makes it longer"


@pytest.mark.parametrize("written", [1, 7, 30])
@pytest.mark.usefixtures("group")
async def test_a_trail_that_was_written_on_lacks_nothing(commands: Redis, written: int) -> None:
    await write(commands, written)
    before = await read(commands)
    assert not before.lacks(before)
    for _ in range(MOST_TIMES + 3):
        await write(commands, 1)
        assert not (await read(commands)).lacks(before)


@pytest.mark.promise("It sees that the record of its group")
@pytest.mark.parametrize("lost", [1, 5, 40])
@pytest.mark.parametrize("written", [1, 30])
@pytest.mark.usefixtures("group")
async def test_older_data_lacks_what_was_read_also_when_it_was_written_on(
    commands: Redis, written: int, lost: int
) -> None:
    await write(commands, written)
    saved: Any = await commands.dump(RECORDS)
    kept = await read(commands)
    await clock_is_later(commands, kept)
    await write(commands, lost)
    before = await read(commands)
    await clock_is_later(commands, before)
    await commands.restore(RECORDS, 0, saved, replace=True)
    since = await read(commands)
    assert since.lacks(before)
    assert since.kept(before) == kept.times[-1]
    for again in range(1, lost + MOST_TIMES):
        await write(commands, 1)
        now = await read(commands)
        assert now.lacks(before)
        assert not now.lacks(since)
        assert now.kept(before) == (kept.times[-1] if again < MOST_TIMES else None)
    await write(commands, 1)
    assert not (await read(commands)).lacks(before), "the times of that record are gone, so nobody can tell"


@pytest.mark.usefixtures("group")
async def test_a_trail_that_was_made_anew_is_another(commands: Redis) -> None:
    await write(commands, 9)
    before = await read(commands)
    await commands.delete(RECORDS)
    await write(commands, 1)
    now = await read(commands)
    assert now.records == 1
    assert not now.lacks(before)


@pytest.mark.parametrize(
    "said", [b"", b"1", b"1 2", b"a b c", b"1 2 x", b"1 2 3 " + b"9" * 9999, b"\xff 1 2"]
)
def test_what_is_no_trail_is_none(said: bytes) -> None:
    assert Trail.read(said) is None


def test_a_trail_of_a_clock_that_was_set_back_lacks_nothing() -> None:
    assert not Trail(1, 3, [30, 10, 20]).lacks(Trail(1, 1, [30]))
    assert Trail(1, 3, [30, 10, 20]).lacks(Trail(1, 2, [30, 40]))

"""Erasing entries, finished or not."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import manage
from abe_redis.streams.erase import erase
from abe_redis.streams.ids import order
from tests.integration.on_streams import A, fill, group, rows, taken


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def test_an_erased_event_is_counted_once_whoever_had_it(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    for name in ("none", "all"):
        await manage.create(commands, A, name, "0-0")
    await taken(commands, 3)
    await commands.xreadgroup("all", "me", {A: ">"})
    await commands.xack(A, "g", ids[0])
    await commands.xack(A, "all", *ids)
    assert await erase(commands, A, [ids[0], ids[1], ids[4], "1-1"]) == (3, 3)
    assert await erase(commands, A, [ids[1]]) == (0, 0)
    assert list(await rows(commands, A)) == [ids[2]]
    assert await taken(commands) == [ids[3], ids[5]]
    await commands.xack(A, "g", ids[2], ids[3], ids[5])
    await manage.remove(commands, A, "none", force=True)
    assert await erase(commands, A, ids) == (3, 0)


async def test_a_group_is_moved_over_what_was_erased_in_front_of_it(commands: Redis) -> None:
    ids = await fill(commands, A, 8)
    await taken(commands, 2)
    assert await erase(commands, A, ids[2:4]) == (2, 2)
    found = await group(commands)
    before_next = found["last-delivered-id"].decode()
    assert found["entries-read"] == 4
    assert order(ids[3]) <= order(before_next) < order(ids[4])
    assert await erase(commands, A, [ids[5]]) == (1, 1)
    found = await group(commands)
    assert (found["entries-read"], found["last-delivered-id"].decode()) == (5, before_next)
    assert await erase(commands, A, [ids[4], ids[6], ids[7]]) == (3, 3)
    found = await group(commands)
    assert (found["entries-read"], found["lag"], found["last-delivered-id"].decode()) == (8, 0, ids[7])


async def test_a_group_stays_where_it_is_when_the_gap_is_further_on(commands: Redis) -> None:
    for number in range(1, 6):
        await commands.xadd(A, {"data": "x"}, id=f"{number * 10}-0")
    await commands.xgroup_create(A, "g", "0")
    await taken(commands, 1)
    assert await erase(commands, A, ["40-0"]) == (1, 1)
    found = await group(commands)
    assert (found["last-delivered-id"], found["entries-read"]) == (b"10-0", 2)
    assert await erase(commands, A, ["20-0"]) == (1, 1)
    found = await group(commands)
    assert (found["last-delivered-id"], found["entries-read"]) == (b"29-18446744073709551615", 3)

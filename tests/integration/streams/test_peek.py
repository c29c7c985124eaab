"""Looking at a stream changes nothing."""

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import names, peek, release
from tests.integration.on_streams import A, B, fill, hold, now_ms
from tests.patience import PATIENCE


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def test_entries_are_shown_from_either_end(commands: Redis) -> None:
    ids = await fill(commands, A, 5)

    async def shown(end: peek.Order, after: str | None, count: int = 9) -> list[str]:
        return [one.id for one in await peek.entries(commands, A, after=after, count=count, order=end)]

    assert await shown("oldest", None) == ids
    assert await shown("newest", None) == ids[::-1]
    assert await shown("oldest", ids[1], 2) == ids[2:4]
    assert await shown("newest", ids[3], 2) == [ids[2], ids[1]]
    assert await shown("oldest", "0-0") == ids
    assert await shown("newest", "0-0") == []
    (first, *_) = await peek.entries(commands, A, after=None, count=1, order="oldest")
    assert first.fields == {b"data": f"{A} 0".encode()}
    assert await peek.kind(commands, A) == "stream"
    assert await peek.kind(commands, B) == "none"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
async def test_all_entries_in_pages(commands: Redis, size: int) -> None:
    ids = await fill(commands, A, 4)
    found = [[one.id for one in page] async for page in peek.pages(commands, A, size=size)]
    assert [entry_id for page in found for entry_id in page] == ids
    assert all(0 < len(page) <= size for page in found)
    assert [page async for page in peek.pages(commands, B, size=size)] == []


async def test_a_wait_returns_entries_or_times_out_empty(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    found = await peek.wait(commands, A, after=ids[0], count=9, seconds=30)
    assert [one.id for one in found] == ids[1:]
    assert found[0].fields == {b"data": f"{A} 1".encode()}
    assert [one.id for one in await peek.wait(commands, A, after="0-0", count=1, seconds=30)] == ids[:1]
    began = anyio.current_time()
    assert await peek.wait(commands, A, after="$", count=9, seconds=0.3) == []
    assert anyio.current_time() - began >= 0.29
    with anyio.fail_after(PATIENCE):
        assert await peek.wait(commands, A, after="$", count=9, seconds=0) == []


async def test_pending_entries_are_shown_with_their_holders(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    await hold(commands, A, 1, by="other")
    await release.release(commands, "g", "holder", [A], {(A, ids[1]): 0}, everything=False)
    await release.postpone(commands, A, "g", "holder", ids[2], delay_seconds=600)
    await commands.xdel(A, ids[3])
    await anyio.sleep(0.1)
    found = await peek.pending(commands, A, "g", after=None, count=9, consumer=None)
    assert [(one.id, one.consumer, one.deliveries) for one in found][:1] == [(ids[0], "holder", 1)]
    assert [one.consumer for one in found] == ["holder", "abe:nobody", "holder", "holder", "other"]
    assert [one.fields for one in found][:4] == [
        {b"data": f"{A} {number}".encode()} if number < 3 else None for number in range(4)
    ]
    idle = found[0].idle_seconds
    assert idle is not None
    assert 0.1 <= idle < 60
    assert found[1].idle_seconds is None
    due = found[2].due_at
    assert due is not None
    assert abs(due.timestamp() - await now_ms(commands) / 1000 - 600) < 60
    assert [one.due_at for one in found if one.id != ids[2]] == [None] * 4
    later = await peek.pending(commands, A, "g", after=ids[1], count=2, consumer=None)
    assert [one.id for one in later] == ids[2:4]
    theirs = await peek.pending(commands, A, "g", after=None, count=9, consumer="other")
    assert [one.consumer for one in theirs] == ["other"]
    assert await peek.pending(commands, A, "g", after=None, count=9, consumer="nobody") == []
    with pytest.raises(ResponseError, match="NOGROUP"):
        await peek.pending(commands, A, "another", after=None, count=9, consumer=None)
    await commands.set(names.held(A, "g"), "mine")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await peek.pending(commands, A, "g", after=None, count=9, consumer=None)

"""Leasing what a group was not given yet."""

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import lease, names, owners
from abe_redis.streams.lease import Portion
from tests.integration.on_streams import (
    A,
    B,
    C,
    briefly,
    fill,
    hold,
    recorded,
    rows,
)


async def times_called(redis: Redis, command: str) -> int:
    """How often a command was called, also by scripts."""
    stats: Any = await redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_streams_are_read_one_after_the_other_up_to_their_portions(commands: Redis) -> None:
    a, b = await fill(commands, A, 3), await fill(commands, B, 2)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 2, ""), Portion(B, 5, "")], most=10)
    assert briefly(taken.leased) == [(A, a[0], 1), (A, a[1], 1), (B, b[0], 1), (B, b[1], 1)]
    assert taken.leased[0].fields == {b"data": f"{A} 0".encode()}
    assert (taken.looked_at, taken.more, taken.lost) == ([A, B], {A}, {})
    assert taken.failure is None
    assert {row[:2] for row in (await rows(commands, A)).values()} == {("me", 0)}, "no handler has begun"
    assert list(await rows(commands, B)) == b


@pytest.mark.one_server
async def test_no_more_is_read_than_was_asked_for(commands: Redis) -> None:
    for stream, count in ((A, 2), (B, 5), (C, 5)):
        await fill(commands, stream, count)
    portions = [Portion(stream, 5, "") for stream in (A, B, C)]
    taken = await lease.take_more(commands, "g", "me", portions, most=3)
    assert [entry.stream for entry in taken.leased] == [A, A, B]
    assert (taken.looked_at, taken.more) == ([A, B], {B})  # which was cut short
    taken = await lease.take_more(commands, "g", "me", portions, most=3)
    assert [entry.stream for entry in taken.leased] == [B, B, B]
    assert (taken.looked_at, taken.more) == ([A, B], {B})
    taken = await lease.take_more(commands, "g", "me", portions[:2], most=3)
    assert [entry.stream for entry in taken.leased] == [B]
    assert (taken.looked_at, taken.more) == ([A, B], set())


async def test_fields_keep_their_names_and_values(commands: Redis) -> None:
    await fill(commands, A, 0)
    fields: list[dict[Any, Any]] = [{"data": "1"}, {"data": "1", "more": "2"}, {"x": "1", "y": "2", "z": "3"}]
    for each in fields:
        await commands.xadd(A, each)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 9, "")], most=9)
    expected = [{name.encode(): value.encode() for name, value in each.items()} for each in fields]
    assert [entry.fields for entry in taken.leased] == expected


async def test_an_owner_reads_only_what_is_its_own_and_known(commands: Redis) -> None:
    streams = [f"{{t}}{number}" for number in range(6)]
    ids = {stream: await fill(commands, stream, 2) for stream in streams}
    for stream, owner in zip(streams, ["me", "me", "me", "other", "other", ""], strict=True):
        if owner:
            await commands.set(names.owner(stream, "g"), owner)
    for stream in streams[1:3]:  # somebody was given the first of these
        await lease.take_new(commands, "g", "x", [stream], count=1, block_ms=None)
    me = owners.Owner(group="g", consumer="me", token="me", lease_seconds=30)
    portions = [Portion(stream, 5, "0-0") for stream in streams]
    found = await owners.take_owned(commands, me, portions, most=50)
    assert briefly(found.taken.leased) == [(streams[0], entry_id, 1) for entry_id in ids[streams[0]]]
    assert found.behind == set(streams[1:3])
    assert found.disowned == set(streams[3:])
    assert found.taken.looked_at == streams
    for stream in streams[1:3]:
        portions = [Portion(stream, 5, ids[stream][0])]
        found = await owners.take_owned(commands, me, portions, most=50)
        assert briefly(found.taken.leased) == [(stream, ids[stream][1], 1)]


async def test_entries_removed_unread_are_counted_once(commands: Redis) -> None:
    last, portions = {}, []
    for stream, removed in ((A, 2), (B, 3), (C, 0)):
        ids = await fill(commands, stream, 5)
        await lease.take_new(commands, "g", "me", [stream], count=1, block_ms=None)
        last[stream] = ids[0]
        if removed:
            await commands.xtrim(stream, minid=ids[removed + 1], approximate=False)
        portions.append(Portion(stream, 1, ids[0]))
    taken = await lease.take_more(commands, "g", "me", portions, most=50)
    assert taken.lost == {A: 2, B: 3}
    assert len(taken.leased) == 3
    assert (await recorded(commands, A, "lost"), await recorded(commands, C, "lost")) == (b"2", None)
    taken = await lease.take_more(commands, "g", "me", portions, most=50)
    assert taken.lost == {}
    assert [entry.stream for entry in taken.leased] == [A, C]
    assert await recorded(commands, B, "lost") == b"3"


async def test_one_that_was_removed_unread_is_counted_too(commands: Redis) -> None:
    ids = await hold(commands, A, 1, by="me")
    await fill(commands, A, 3)
    await commands.xtrim(A, maxlen=2, approximate=False)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 5, ids[0])], most=50)
    assert (taken.lost, len(taken.leased)) == ({A: 1}, 2)


async def test_nothing_is_lost_by_a_group_that_is_gone(commands: Redis) -> None:
    await commands.xadd(A, {"data": "no group"})
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 5, "1-1")], most=50)
    assert (taken.lost, taken.leased) == ({}, [])
    assert taken.failure is not None


@pytest.mark.one_server
async def test_take_more_leases_no_more_than_asked(commands: Redis) -> None:
    for stream in (A, B):
        await fill(commands, stream, 2)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 5, ""), Portion(B, 5, "")], most=1)
    assert len(taken.leased) == 1


async def test_a_stream_that_is_not_what_it_was_ends_the_reading(commands: Redis) -> None:
    ids = await fill(commands, A, 1)
    await commands.xadd(B, {"data": "no group"})
    await fill(commands, C, 1)
    taken = await lease.take_more(commands, "g", "me", [Portion(one, 5, "") for one in (A, B, C)], most=50)
    assert briefly(taken.leased) == [(A, ids[0], 1)]
    assert taken.looked_at == [A]
    assert isinstance(taken.failure, ResponseError)
    assert "NOGROUP" in str(taken.failure)


@pytest.mark.one_server
async def test_streams_with_the_same_portion_are_read_by_one_command(commands: Redis) -> None:
    streams = [f"{{t}}{number}" for number in range(20)]
    for stream in streams:
        await fill(commands, stream, 3)
    portions = [Portion(stream, 2, "") for stream in streams]
    before = await times_called(commands, "xreadgroup")
    taken = await lease.take_more(commands, "g", "me", portions, most=40)
    assert [entry.stream for entry in taken.leased] == [one for one in streams for _ in range(2)]
    assert taken.looked_at == streams
    assert taken.more == set(streams)
    assert await times_called(commands, "xreadgroup") == before + 1
    assert {row[1] for stream in streams for row in (await rows(commands, stream)).values()} == {0}


@pytest.mark.one_server
async def test_streams_that_give_less_leave_room_for_others(commands: Redis) -> None:
    for stream, count in ((A, 0), (B, 1), (C, 5)):
        await fill(commands, stream, count)
    portions = [Portion(A, 1, ""), Portion(B, 2, ""), Portion(C, 2, "")]
    taken = await lease.take_more(commands, "g", "me", portions, most=3)
    assert [entry.stream for entry in taken.leased] == [B, C, C]
    assert (taken.looked_at, taken.more) == ([A, B, C], {C})


@pytest.mark.one_server
async def test_no_payload_is_read_to_see_that_nothing_was_removed(commands: Redis) -> None:
    ids = await hold(commands, A, 2, by="me")
    new = await fill(commands, A, 1)
    before = await times_called(commands, "xrange")
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 5, ids[-1])], most=50)
    assert ([entry.id for entry in taken.leased], taken.lost) == (new, {})
    assert await times_called(commands, "xrange") == before


async def test_positions_are_those_of_the_group(commands: Redis) -> None:
    a, b = await hold(commands, A, 1), await fill(commands, B, 3)
    portions = [Portion(A, 2, ""), Portion(B, 2, "")]
    taken = await lease.take_more(commands, "g", "me", portions, most=50, positions=True)
    assert taken.positions == {A: a[0], B: b[1]}
    taken = await lease.take_more(commands, "g", "me", portions, most=50)
    assert ([entry.id for entry in taken.leased], taken.positions) == ([b[2]], {})


async def test_a_read_that_may_wait_takes_so_many_of_each(commands: Redis) -> None:
    a, b = await fill(commands, A, 3), await fill(commands, B, 1)
    leased = await lease.take_new(commands, "g", "me", [A, B], count=2, block_ms=None)
    assert briefly(leased) == [(A, a[0], 1), (A, a[1], 1), (B, b[0], 1)]
    leased = await lease.take_new(commands, "g", "me", [A, B], count=2, block_ms=1)
    assert briefly(leased) == [(A, a[2], 1)]
    assert await lease.take_new(commands, "g", "me", [A, B], count=2, block_ms=1) == []

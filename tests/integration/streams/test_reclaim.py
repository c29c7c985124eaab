"""Reclaiming what has no holder any more."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.streams import names, release
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import (
    LONG_MS,
    A,
    B,
    C,
    abandoned,
    hold,
    let_lapse,
    now_ms,
    recorded,
    rows,
)


async def test_only_what_has_no_lease_any_more_is_taken(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    assert await abandoned(commands, A, count=5) == ([], {})
    await let_lapse(commands, A, ids[1:2], deliveries=3)
    assert await abandoned(commands, A, count=5, seconds=LONG_MS / 1000 + 60) == ([], {})
    assert await abandoned(commands, A, count=5) == ([(A, ids[1], 4)], {})
    found = await rows(commands, A)
    assert found[ids[1]][:2] == ("me", 4)
    assert found[ids[1]][2] < LONG_MS / 2
    assert found[ids[0]][:2] == ("holder", 1)
    assert await abandoned(commands, A, count=5) == ([], {})


@pytest.mark.parametrize(
    ("deliveries", "count", "fresh", "expected"),
    [
        ([0, 0, 0, 1, 0], 1, 5, 3),  # a suspect ends the row of those that were never handed out
        ([1, 0, 0], 1, 5, 1),  # and a suspect that comes first comes alone
        ([1, 1, 1, 1], 2, 5, 2),
        ([0, 1, 1, 1], 3, 9, 3),
        ([0, 0, 0, 0, 0], 1, 3, 3),
        ([0, 0, 0], 1, None, 1),
        ([1, 1, 1], 5, 5, 3),
        ([0, 1, 0], 1, 2, 1),
    ],
)
async def test_a_redelivered_event_is_leased_with_few_others(
    commands: Redis, deliveries: list[int], count: int, fresh: int | None, expected: int
) -> None:
    ids = await hold(commands, A, len(deliveries))
    for entry_id, number in zip(ids, deliveries, strict=True):
        await let_lapse(commands, A, [entry_id], deliveries=number)
    taken, _ = await abandoned(commands, A, count=count, fresh=fresh)
    assert taken == [(A, ids[at], deliveries[at] + 1) for at in range(expected)]
    held = {entry_id for entry_id, row in (await rows(commands, A)).items() if row[0] == "me"}
    assert held == set(ids[:expected])


async def test_one_command_takes_a_hundred_so_that_it_holds_the_server_up_for_moments(
    commands: Redis,
) -> None:
    ids = await hold(commands, A, 120)
    await let_lapse(commands, A, ids, deliveries=0)
    taken, _ = await abandoned(commands, A, count=1, fresh=256)
    assert taken == [(A, entry_id, 1) for entry_id in ids[:100]]
    taken, _ = await abandoned(commands, A, count=1, fresh=256)
    assert taken == [(A, entry_id, 1) for entry_id in ids[100:]]


async def test_streams_are_taken_from_until_it_is_enough(commands: Redis) -> None:
    a, b = await hold(commands, A, 2), await hold(commands, B, 2)
    await commands.xgroup_create(C, "another", mkstream=True)
    for stream, ids in ((A, a), (B, b)):
        await let_lapse(commands, stream, ids, deliveries=0)
    taken, _ = await abandoned(commands, "{t}none", C, A, B, count=1, fresh=3)
    assert taken == [(A, a[0], 1), (A, a[1], 1), (B, b[0], 1)]
    assert await abandoned(commands, A, B, count=1, fresh=3) == ([(B, b[1], 1)], {})


async def test_an_entry_removed_while_it_is_held_counts_as_lost(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    other = await hold(commands, B, 1)
    await let_lapse(commands, A, ids, deliveries=1)
    await let_lapse(commands, B, other, deliveries=1)
    await commands.xdel(A, *ids[:3])
    await commands.xdel(B, *other)
    taken, lost = await abandoned(commands, A, B, count=5)
    assert (taken, lost) == ([(A, ids[3], 2)], {A: 3, B: 1})
    assert list(await rows(commands, A)) == [ids[3]]
    assert (await recorded(commands, A, "lost"), await recorded(commands, B, "lost")) == (b"3", b"1")
    assert await abandoned(commands, A, B, count=5) == ([], {})


async def test_a_postponed_event_waits_for_its_time(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    for entry_id in ids[:3]:
        assert await release.postpone(commands, A, "g", "holder", entry_id, delay_seconds=60) == "done"
    await let_lapse(commands, A, ids, deliveries=1)
    taken, _ = await abandoned(commands, A, count=1)  # not one of those that stand before it
    assert taken == [(A, ids[3], 2)]
    found = await rows(commands, A)
    assert [found[entry_id][:2] for entry_id in ids[:3]] == [("abe:postponed", 1)] * 3
    assert max(found[entry_id][2] for entry_id in ids[:3]) < LONG_MS / 2  # dated anew
    assert await commands.zcard(names.due(A, "g")) == 3


async def test_due_events_are_taken_first_with_any_lease(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    due = names.due(A, "g")
    await let_lapse(commands, A, ids[:1], deliveries=1)
    await commands.zadd(due, {ids[1]: 1000, ids[2]: 2000, ids[3]: 3000, "1-1": 500})
    assert await abandoned(commands, A, count=1) == ([(A, ids[0], 2)], {})  # nobody holds 1-1
    assert await commands.zrange(due, 0, -1) == [entry_id.encode() for entry_id in ids[1:]]
    await let_lapse(commands, A, ids[:1], deliveries=1)
    assert await abandoned(commands, A, count=2) == ([(A, ids[1], 2), (A, ids[2], 2)], {})
    assert await commands.zrange(due, 0, -1) == [ids[3].encode()]
    assert await abandoned(commands, A, count=9) == ([(A, ids[3], 2), (A, ids[0], 2)], {})
    assert not await commands.exists(due)


async def test_the_only_one_that_is_postponed_waits(commands: Redis) -> None:
    ids = await hold(commands, A, 1)
    assert await release.postpone(commands, A, "g", "holder", ids[0], delay_seconds=60) == "done"
    await let_lapse(commands, A, ids, deliveries=1)
    assert await abandoned(commands, A, count=9) == ([], {})


async def test_it_is_due_to_the_millisecond(commands: Redis) -> None:
    """Whether the second has just begun or is nearly over."""
    ids = await hold(commands, A, 2)
    for part in (0.1, 0.7):
        while not part <= (await now_ms(commands)) % 1000 / 1000 <= part + 0.2:
            await anyio.sleep(0.01)
        now = await now_ms(commands)
        await commands.zadd(names.due(A, "g"), {ids[0]: int(now) - 5, ids[1]: int(now) + 20_000})
        taken, _ = await abandoned(commands, A, count=9)
        assert [entry_id for _, entry_id, _ in taken] == [ids[0]]


async def test_a_lease_is_as_long_as_is_said(commands: Redis) -> None:
    ids = await hold(commands, A, 2)
    await commands.xclaim(A, "g", "holder", 0, [ids[0]], idle=61_000, justid=True)
    await commands.xclaim(A, "g", "holder", 0, [ids[1]], idle=40_000, justid=True)
    taken, _ = await abandoned(commands, A, count=9, seconds=60)
    assert [entry_id for _, entry_id, _ in taken] == [ids[0]]


async def test_due_events_beyond_the_limit_stay_due(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    due = names.due(A, "g")
    await commands.zadd(due, dict.fromkeys(ids, 1000))
    assert await abandoned(commands, A, count=1) == ([(A, ids[0], 2)], {})
    assert await commands.zcard(due) == 2
    assert await abandoned(commands, A, count=1, fresh=9) == ([(A, ids[1], 2)], {})
    assert await commands.zrange(due, 0, -1) == [ids[2].encode()]


async def test_what_is_postponed_hides_nothing_behind_it(commands: Redis) -> None:
    """However many there are, one look finds what a dead consumer holds and what is released."""
    ids = await hold(commands, A, 1200)
    await postpone_for_long(commands, ids)
    abandoned_id, released_id = await hold(commands, A, 2, by="dead")
    await let_lapse(commands, A, [abandoned_id], deliveries=1, by="dead")
    assert await release.release(commands, "g", "dead", [A], {(A, released_id): 0}, everything=False) == 1
    assert await abandoned(commands, A, count=9) == ([(A, abandoned_id, 2), (A, released_id, 1)], {})


async def test_what_its_holder_has_postponed_hides_nothing_of_it(commands: Redis) -> None:
    ids = await hold(commands, A, 1200)
    await postpone_for_long(commands, ids[:-1])
    await let_lapse(commands, A, ids[-1:], deliveries=1)
    assert await abandoned(commands, A, count=9) == ([(A, ids[-1], 2)], {})


async def test_of_many_holders_each_is_looked_at(commands: Redis) -> None:
    """A page at a time, and it goes on where it was, though holders come and go."""
    ids = await hold(commands, A, 330)
    names_of = [f"holder {number:03}\n" for number in range(330)]
    for entry_id, name in zip(ids, names_of, strict=True):
        await commands.xclaim(A, "g", name, 0, [entry_id], justid=True)
    for at in (3, 200, 329):
        await let_lapse(commands, A, [ids[at]], deliveries=1, by=names_of[at])
    places: dict[str, str] = {}
    for at in (3, 200, 329):
        leased, _ = await reclaim(commands, "g", "me", [A], lease_seconds=50, count=1, places=places)
        assert [entry.id for entry in leased] == [ids[at]]
        await commands.xgroup_delconsumer(A, "g", names_of[at])
    assert await reclaim(commands, "g", "me", [A], lease_seconds=50, count=1, places=places) == ([], {})
    assert places == {A: "-"}


async def test_a_postponed_event_without_its_time_is_found_among_others(commands: Redis) -> None:
    """Somebody removed it from the set by hand."""
    ids = await hold(commands, A, 450)
    await postpone_for_long(commands, ids)
    assert await abandoned(commands, A) == ([], {})
    assert {row[0] for row in (await rows(commands, A)).values()} == {"abe:postponed"}
    await let_lapse(commands, A, ids, deliveries=1, by="abe:postponed")
    await commands.zrem(names.due(A, "g"), ids[440])
    places: dict[str, str] = {}
    found = [
        await reclaim(commands, "g", "me", [A], lease_seconds=50, count=1, places=places) for _ in range(3)
    ]
    assert [[entry.id for entry in leased] for leased, _ in found] == [[], [], [ids[440]]]


async def postpone_for_long(redis: Redis, ids: list[str]) -> None:
    """As if their consumer had postponed them long ago, for longer."""
    await redis.zadd(names.due(A, "g"), dict.fromkeys(ids, int(await now_ms(redis)) + 600_000))
    await let_lapse(redis, A, ids, deliveries=1)

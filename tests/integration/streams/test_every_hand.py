"""Every state of a group and of its records, times everything that somebody does to the group by hand.

What the group was given and has not finished is delivered; what it was not given, and somebody skipped, is
not; nor is what was finished, as far as Redis can tell.
"""

from itertools import cycle, islice
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, lease, names, owners, release
from abe_redis.streams.groups import ensure_group
from abe_redis.streams.lease import Portion
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, fill, group, recorded
from tests.integration.streams.removed_consumers import LEASE_SECONDS, NOBODY, OWNER, join, record, redis_url

__all__ = ["redis_url"]

PLACES: dict[str, int | str] = {"0": "0", "before": 2, "at": 7, "behind": 9, "$": "$"}
"""Where somebody sets a group that was given eight of twelve entries: an id, or an index of an entry."""

HANDS = [
    "destroyed",
    *(f"made {place}" for place in PLACES),
    *(f"set {place}" for place in PLACES),
    *(f"removed {who}" for who in ("dead", "nobody", "all")),
    *(f"set {place}, removed all" for place in PLACES),
    *(f"removed all, set {place}" for place in PLACES),
]
REMOVED = {"dead": ["dead"], "nobody": [NOBODY], "all": ["dead", "other", NOBODY, "abe:postponed"]}
HELD = ["by a dead one", "by nobody", "by both", "postponed"]
RECORDS = ["fresh", "older", "full", "no list", "no name", "unread"]
NOTICED = ["record", "join", "owner", "read"]


async def read(redis: Redis, name: str, count: int) -> list[str]:
    """As a worker reads, without waiting."""
    taken = await lease.take_more(redis, "g", name, [Portion(A, count, "0-0")], most=count, begun=False)
    return [entry.id for entry in taken.leased]


async def given_eight(redis: Redis, held: str, records: str) -> tuple[list[str], set[str], set[str]]:
    """All ids; what the group was given and has not finished; and what it has finished."""
    ids = await fill(redis, A, 12)
    await join(redis, "dead")
    await join(redis, "other")
    early = 5 if records == "older" else 8
    assert await read(redis, "dead", early) == ids[:early]
    await acks.ack(redis, "g", "dead", [(A, ids[1])])
    if records != "older":
        await put_away(redis, held, [ids[0], *ids[2:8]])
    await record(redis)
    if records == "older":
        assert await read(redis, "dead", 3) == ids[5:8]
        await put_away(redis, held, [ids[0], *ids[2:8]])
    if records == "full":
        await record(redis, is_full=True)
    if held in {"by a dead one", "by both"}:
        await acks.ack(redis, "g", "dead", [(A, ids[5])])
        finished = {ids[1], ids[5]}
    else:
        finished = {ids[1]}
    if records == "no list":
        await redis.delete(names.pending(A, "g"))
    if records == "no name":
        await redis.hdel(names.records(A), "known g")
    if records == "unread":
        await redis.hset(names.records(A), "paused g", "1")
    return ids, {*ids[:8]} - finished, finished


async def put_away(redis: Redis, held: str, ids: list[str]) -> None:
    if held in {"by nobody", "by both"}:
        back = ids if held == "by nobody" else ids[1:3]
        known = dict.fromkeys(((A, entry_id) for entry_id in back), 1)
        await release.release(redis, "g", "dead", [A], known, everything=False)
    if held == "postponed":
        for entry_id in ids:
            await release.postpone(redis, A, "g", "dead", entry_id, delay_seconds=3600)


async def do(redis: Redis, ids: list[str], hand: str) -> str:
    """What somebody does by hand, all at once; answers the position of the group afterwards."""
    position = str((await group(redis))["last-delivered-id"].decode())
    pipeline = redis.pipeline(transaction=True)
    for what in hand.split(", "):
        how, _, where = what.partition(" ")
        if how == "removed":
            for name in REMOVED[where]:
                pipeline.xgroup_delconsumer(A, "g", name)
            continue
        if how in {"destroyed", "made"}:
            pipeline.xgroup_destroy(A, "g")
        if how == "destroyed":
            continue
        at = PLACES[where]
        position = ids[at] if isinstance(at, int) else at
        if how == "made":
            pipeline.xgroup_create(A, "g", position)
        else:
            pipeline.xgroup_setid(A, "g", position)
        position = {"0": "0-0", "$": ids[-1]}.get(position, position)
    await redis.config_set("maxmemory", 0)
    await pipeline.execute()
    return position


async def notice(redis: Redis, how: str, *, is_full: bool) -> None:
    """What the first one does that comes after that."""
    await redis.config_set("maxmemory", int(is_full))
    if not await redis.xinfo_groups(A) or how == "join":
        await ensure_group(redis, [A], "g")
    if how == "record":
        await record(redis, is_full=is_full)
        await record(redis, is_full=is_full)
    elif how == "owner":
        await owners.own(redis, OWNER, [A])
        await owners.load(redis, OWNER, A, everybody=True)
    elif how == "read":
        await read(redis, "other", 1)
    await reclaim(redis, "g", "other", [A], lease_seconds=LEASE_SECONDS, count=1, begun=False)
    await record(redis, is_full=is_full)


async def to_be_delivered(redis: Redis) -> set[str]:
    """What is pending, due or new to the group."""
    of = await group(redis)
    position = of["last-delivered-id"].decode()
    pending: Any = await redis.xpending_range(A, "g", "-", "+", 10_000)
    new: Any = await redis.xrange(A, "(" + position, "+")
    due: Any = await redis.zrange(names.due(A, "g"), 0, -1)
    return {
        *(row["message_id"].decode() for row in pending),
        *(entry_id.decode() for entry_id, _ in new),
        *(entry_id.decode() for entry_id in due),
    }


def nobody_knows(ids: list[str], held: str, records: str, hand: str) -> set[str]:
    """What nobody can find: a dead consumer held it, and an evicted list did not outlive that consumer."""
    if records not in {"no list", "no name"} or not ("made" in hand or "removed" in hand):
        return set()
    return {"by a dead one": {*ids}, "by both": {*ids} - {ids[2], ids[3]}}.get(held, set())


def key(entry_id: str) -> tuple[int, int]:
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number)


@pytest.mark.parametrize("records", RECORDS)
@pytest.mark.parametrize("held", HELD)
async def test_what_was_given_and_not_finished_is_delivered_and_nothing_else(
    commands: Redis, request: pytest.FixtureRequest, held: str, records: str
) -> None:
    """On Valkey, two of the ways of noticing after each hand; on the oldest Redis, one, in turn.

    Whatever three of hand, noticing, holder and records there are, they come together on Valkey.
    """
    is_valkey = request.node.callspec.params["either_url"] == "lone_server"
    first = HELD.index(held) + RECORDS.index(records)
    in_turn = zip(HANDS, islice(cycle(NOTICED), first, None), strict=False)
    two_each = [
        (hand, noticed) for number, hand in enumerate(HANDS) for noticed in NOTICED[(first + number) % 2 :: 2]
    ]
    wrong = {}
    for hand, noticed in two_each if is_valkey else in_turn:
        await commands.config_set("maxmemory", 0)
        await commands.flushdb()
        ids, unfinished, finished = await given_eight(commands, held, records)
        position = await do(commands, ids, hand)
        is_moved = "made" in hand or "set" in hand
        await notice(commands, noticed, is_full=records == "full")
        await commands.config_set("maxmemory", 0)
        found = await to_be_delivered(commands)
        new = {one for one in ids if key(position) < key(one)} if is_moved else {*ids[8:]}
        more = found - unfinished - new
        if missing := (new | unfinished - nobody_knows(ids, held, records, hand)) - found:
            wrong[hand, noticed, "missing"] = sorted(ids.index(one) for one in missing)
        if records in {"no list", "no name"}:
            more -= finished
        if more:
            wrong[hand, noticed, "too much"] = sorted(ids.index(one) for one in more)
    assert not wrong


async def test_what_a_paused_group_gave_back_is_there_when_somebody_makes_the_group_again_further_on(
    commands: Redis,
) -> None:
    """A worker's record puts back what vanished; what was given back is not forgotten over that."""
    ids, unfinished, _ = await given_eight(commands, "by nobody", "fresh")
    await do(commands, ids, "made $")
    await record(commands)
    await record(commands)
    leased, _ = await reclaim(commands, "g", "other", [A], lease_seconds=LEASE_SECONDS, count=10)
    assert {entry.id for entry in leased} == unfinished
    assert await recorded(commands, A, "lost") is None


async def test_an_event_that_fails_right_after_a_blocking_read_keeps_its_delay_in_a_destroyed_group(
    commands: Redis,
) -> None:
    first, second = await fill(commands, A, 2)
    await join(commands, "dead")
    assert [entry.id for entry in await take_new(commands)] == [first]
    await record(commands)
    assert [entry.id for entry in await take_new(commands)] == [second]
    assert await release.postpone(commands, A, "g", "dead", second, delay_seconds=60, begun=1) == "done"
    await commands.xgroup_destroy(A, "g")
    await ensure_group(commands, [A], "g")
    assert await read(commands, "other", 2) == []
    assert await commands.zscore(names.due(A, "g"), second) is not None


async def take_new(redis: Redis) -> list[lease.Leased]:
    """As a worker reads that waits, which records nothing."""
    return await lease.take_new(redis, "g", "dead", [A], count=1, block_ms=None)


@pytest.mark.parametrize("hand", ["destroyed", "made $", "removed all"])
async def test_a_strange_name_of_another_programs_consumer_is_no_trouble(commands: Redis, hand: str) -> None:
    ids = await fill(commands, A, 12)
    await commands.xreadgroup("g", "line\nfeed 3 x", {A: ">"}, count=1)
    await join(commands, "dead")
    assert await read(commands, "dead", 3) == ids[1:4]
    await record(commands)
    await do(commands, ids, hand)
    await notice(commands, "join", is_full=False)
    must = {*ids[1:4]} if hand == "removed all" else {*ids[:4]}
    assert must <= await to_be_delivered(commands)


async def test_a_group_of_more_than_3000_pending_entries_is_found_as_well(commands: Redis) -> None:
    """As it is made again at the end: what it was not given yet stays skipped."""
    await fill(commands, A, 1)
    pipeline = commands.pipeline(transaction=False)
    for number in range(3109):
        pipeline.xadd(A, {"data": str(number)})
    await pipeline.execute()
    all_entries: Any = await commands.xrange(A)
    ids = [entry_id.decode() for entry_id, _ in all_entries]
    await join(commands, "dead")
    assert await read(commands, "dead", 3100) == ids[:3100]
    await record(commands)
    await do(commands, ids, "made $")
    await record(commands)
    assert await to_be_delivered(commands) == {*ids[:3100]}
    assert await recorded(commands, A, "lost") is None


async def test_an_owner_takes_over_all_that_is_postponed_and_was_dropped_and_in_order(
    commands: Redis,
) -> None:
    await fill(commands, A, 1)
    pipeline = commands.pipeline(transaction=False)
    for number in range(2109):
        pipeline.xadd(A, {"data": str(number)})
    await pipeline.execute()
    ids = await read(commands, "dead", 2110)
    due = {entry_id: 10**13 + number for number, entry_id in enumerate(reversed(ids))}
    await commands.zadd(names.due(A, "g"), due)
    await commands.xgroup_delconsumer(A, "g", "dead")
    await owners.own(commands, OWNER, [A])
    loaded: list[str] = []
    rest, is_first = None, True
    while is_first or rest:
        found = await owners.load(commands, OWNER, A, everybody=True, rest=rest)
        assert found is not None
        loaded += [entry.id for entry, _ in found.entries]
        rest, is_first = found.rest, False
    assert loaded == ids

"""A group of the right name that somebody moved, or destroyed and made again, anywhere: nothing is lost.

Somebody's commands come between two records of a dead consumer's group. Whoever notices first, and in
whatever way, all that the group was given and has not finished is delivered.
"""

from itertools import product
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, beyond_end, choose, lease, names, owners, release, renewal
from abe_redis.streams.groups import ensure_group
from abe_redis.streams.reclaim import reclaim
from abe_redis.streams.trim import trim
from tests.integration.on_streams import A, fill, let_lapse, recorded, rows
from tests.integration.streams.removed_consumers import (
    LEASE_SECONDS,
    OWNER,
    join,
    record,
    remove,
    take,
)

TO_COME = "99999999999999-0"
"""An id beyond the end of every stream."""

PLACES: dict[str, str | int] = {"0": "0", "first": 0, "middle": 3, "last": 6, "$": "$", "end": TO_COME}
"""Where somebody sets the group: an id, or an index of an entry."""

MADE = [*(f"made {place}" for place in PLACES), "made $, 0 read", "made end, 0 read", "made middle, 7 read"]
SET = [f"set {place}" for place in PLACES]
HANDS = [
    *([one] for one in MADE),
    *([one, "removed"] for one in SET),
    *(["removed", one] for one in SET),
    *([f"made {first}", f"set {second}"] for first, second in product(["middle", "end"], PLACES)),
    *([f"set {first}", f"made {second}"] for first, second in product(["middle", "end"], PLACES)),
    *(["set end", f"set {place}", "removed"] for place in PLACES),
    *([one, "read", "removed"] for one in SET),
]

NOTICED = ["record", "join", "reclaim", "own", "look", "choose", "read", "trim"]


async def do(redis: Redis, ids: list[str], what: str) -> None:
    """What somebody does by hand."""
    if what == "removed":
        await remove(redis, "dead", "alive")
        return
    if what == "read":
        taken = await take(redis, "alive", 1)
        await renewal.uncount(
            redis, "g", "alive", [(A, entry_id) for entry_id in taken]
        )  # as each worker does
        return
    place, _, read = what.partition(", ")
    how, _, where = place.partition(" ")
    at = PLACES[where]
    position = ids[at] if isinstance(at, int) else at
    pipeline = redis.pipeline(transaction=True)
    if how == "made":
        pipeline.xgroup_destroy(A, "g")
        more: Any = {"entries_read": int(read[0])} if read else {}
        pipeline.xgroup_create(A, "g", position, **more)
    else:
        pipeline.xgroup_setid(A, "g", position)
    await pipeline.execute()


async def notice(redis: Redis, ids: list[str], how: str) -> None:
    """What a consumer, an agent or a person does, who is the first to come after that."""
    match how:
        case "record":
            await record(redis)
        case "join":
            await ensure_group(redis, [A], "g")
        case "reclaim":
            await reclaim(redis, "g", "other", [A], lease_seconds=LEASE_SECONDS, count=1)
        case "own":
            await owners.own(redis, OWNER, [A])
            await owners.load(redis, OWNER, A, everybody=True)
            await owners.disown(redis, OWNER, [A])
        case "look":
            await beyond_end.set_back(redis, "g", [A])
        case "choose":
            await choose.take_these(
                *(redis, "g", "other", A, [ids[0]]), lease_seconds=LEASE_SECONDS, postponed=False
            )
        case "read":
            await take(redis, "other", 1)
        case "trim":
            await trim(redis, [A], 0, idle_days=7)


async def finished_by_others(redis: Redis, how: str) -> set[str]:
    """All that others finish from now on, of whom each lives for a moment: their leases are over at once."""
    found, rest = set[str](), 2
    while rest:
        await ensure_group(redis, [A], "g")
        await record(redis)
        due: Any = await redis.zrange(names.due(A, "g"), 0, -1, withscores=True)
        await redis.zadd(names.due(A, "g"), {one: score % 1 + 1 for one, score in due} or {b"0-1": 1})
        await redis.zrem(names.due(A, "g"), "0-1")
        for entry_id, (holder, deliveries, idle) in (await rows(redis, A)).items():
            if idle < 10**9:
                await let_lapse(redis, A, [entry_id], deliveries=deliveries, by=holder)
        if how == "owner":
            await owners.own(redis, OWNER, [A])
            loaded = await owners.load(redis, OWNER, A, everybody=True)
            assert loaded is not None
            taken = [entry.id for entry, _ in loaded.entries]
            name = OWNER.consumer
        else:
            name = "other"
            leased, _ = await reclaim(redis, "g", name, [A], lease_seconds=LEASE_SECONDS, count=10)
            taken = [entry.id for entry in leased]
        if not taken:
            new = await lease.take_new(redis, "g", name, [A], count=10, block_ms=None)
            taken = [entry.id for entry in new]
        rest = 2 if taken else rest - 1
        await acks.ack(redis, "g", name, [(A, entry_id) for entry_id in taken])
        found.update(taken)
    return found


async def lost(redis: Redis, hands: list[str], noticed: str, listed: str, how: str) -> set[str]:
    """What is lost of what the group was given, or has still to be given."""
    await redis.flushdb()
    ids = await fill(redis, A, 9)
    await join(redis, "dead")
    await join(redis, "alive")
    await join(redis, "other")
    await take(redis, "dead", 3)
    if listed == "some":
        await record(redis)
    await take(redis, "dead", 2)
    await acks.ack(redis, "g", "dead", [(A, ids[1])])
    await release.postpone(redis, A, "g", "dead", ids[2], delay_seconds=60)
    await take(redis, "alive", 2)
    if listed == "all":
        await record(redis)
    await acks.ack(redis, "g", "alive", [(A, ids[6])])
    for what in hands:
        await do(redis, ids, what)
    await notice(redis, ids, noticed)
    skipped = {*ids[7:]} if any(one.partition(",")[0][-1] == "$" for one in hands) else set[str]()
    done = await finished_by_others(redis, how)
    assert await recorded(redis, A, "lost") in {None, b"0"}
    return {*ids} - {ids[1], ids[6]} - skipped - done


LISTED = ["nothing", "some", "all"]


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize("noticed", NOTICED)
async def test_nothing_that_a_group_was_given_is_lost(commands: Redis, noticed: str, listed: str) -> None:
    """Where somebody moves the group twice, each way of noticing comes with one list, in turn."""
    found = {}
    for number, hands in enumerate(HANDS):
        in_turn = LISTED[(number + NOTICED.index(noticed)) % len(LISTED)]
        if sum(one != "removed" for one in hands) > 1 and listed != in_turn:
            continue
        how = ["reclaim", "owner"][number % 2]
        if missing := await lost(commands, hands, noticed, listed, how):
            found[" then ".join(hands)] = missing
    assert not found

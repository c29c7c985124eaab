"""What becomes pending again when a group that somebody destroyed is made again: what it had not finished."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, names
from abe_redis.streams.groups import ensure_group, record_progress
from abe_redis.streams.reclaim import reclaim
from abe_redis.streams.trim import trim
from tests.integration.on_streams import A, entries, fill, now_ms
from tests.integration.streams.removed_consumers import NOBODY, join, record, redis_url, remove, take

__all__ = ["redis_url"]


async def made_again(redis: Redis) -> list[str]:
    """The ids of what is pending then, all of it under nobody's name."""
    (found,) = await ensure_group(redis, [A], "g")
    assert found.again
    pending: Any = await redis.xpending_range(A, "g", "-", "+", 5000)
    assert {row["consumer"].decode() for row in pending} <= {NOBODY}
    return [row["message_id"].decode() for row in pending]


@pytest.mark.parametrize("when", ["before the list", "after the list", "both"])
async def test_what_was_finished_behind_an_unfinished_entry_stays_finished(
    commands: Redis, when: str
) -> None:
    ids = await fill(commands, A, 9)
    await join(commands, "worker")
    assert await take(commands, "worker", 8) == ids[:8]
    finished = {"before the list": ids[1:4], "after the list": [], "both": ids[1:4]}[when]
    await acks.ack(commands, "g", "worker", [(A, one) for one in finished])
    await record(commands)
    later = {"before the list": [], "after the list": ids[1:4], "both": ids[5:7]}[when]
    await acks.ack(commands, "g", "worker", [(A, one) for one in later])
    assert await commands.xgroup_destroy(A, "g")
    assert await made_again(commands) == [one for one in ids[:8] if one not in {*finished, *later}]
    assert await take(commands, "worker", 9) == ids[8:]  # nothing is given as new a second time


async def test_what_was_given_after_the_list_is_pending_again_unless_it_is_finished(commands: Redis) -> None:
    ids = await fill(commands, A, 8)
    await join(commands, "worker")
    await take(commands, "worker", 2)
    await record(commands)
    await acks.ack(commands, "g", "worker", [(A, ids[1])])
    assert await take(commands, "worker", 4) == ids[2:6]
    await record_progress(commands, [A], "g")  # without a new list, if the last one is recent
    await acks.ack(commands, "g", "worker", [(A, ids[3])])
    assert await commands.xgroup_destroy(A, "g")
    assert await made_again(commands) == [ids[0], ids[2], *ids[4:6]]


async def test_a_group_that_had_finished_everything_begins_behind_it(commands: Redis) -> None:
    ids = await fill(commands, A, 4)
    await join(commands, "worker")
    await take(commands, "worker", 4)
    await record(commands)
    await acks.ack(commands, "g", "worker", [(A, one) for one in ids])
    assert await commands.xgroup_destroy(A, "g")
    assert await made_again(commands) == []
    assert await take(commands, "worker", 4) == []


@pytest.mark.parametrize("how", ["DEL", "HDEL", "another's"])
async def test_without_a_whole_list_everything_behind_the_floor_is_pending_again(
    commands: Redis, how: str
) -> None:
    """The list may be evicted; then what was finished comes again rather than that anything is lost."""
    ids = await fill(commands, A, 5)
    await join(commands, "worker")
    await take(commands, "worker", 5)
    await acks.ack(commands, "g", "worker", [(A, ids[1])])
    await record(commands)
    assert await commands.xgroup_destroy(A, "g")
    listed = names.pending(A, "g")
    if how == "DEL":
        await commands.delete(listed)
    elif how == "HDEL":
        await commands.hdel(names.records(A), "known g")
    else:
        await commands.hset(listed, "", f"{ids[0]} 1 worker\n")
    assert await made_again(commands) == ids


async def test_what_more_than_3000_pending_entries_hide_is_pending_again(commands: Redis) -> None:
    """The list names the oldest 3,000; nobody knows which of the others are finished."""
    await fill(commands, A, 1)
    pipeline = commands.pipeline(transaction=False)
    for number in range(3009):
        pipeline.xadd(A, {"data": str(number)})
    await pipeline.execute()
    ids = [entry_id for entry_id, _ in await entries(commands, A)]
    await join(commands, "worker")
    await take(commands, "worker", 3010)
    await acks.ack(commands, "g", "worker", [(A, ids[1]), (A, ids[-5])])
    await record(commands)
    await acks.ack(commands, "g", "worker", [(A, ids[2]), (A, ids[-2])])
    assert await commands.xgroup_destroy(A, "g")
    again = await made_again(commands)
    assert again == [one for one in ids if one not in {ids[1], ids[2], ids[-2]}]


async def test_an_entry_that_the_stream_lacks_is_not_pending_again(commands: Redis) -> None:
    ids = await fill(commands, A, 4)
    await join(commands, "worker")
    await take(commands, "worker", 4)
    await record(commands)
    assert await commands.xgroup_destroy(A, "g")
    await commands.xdel(A, ids[1])
    assert await made_again(commands) == [ids[0], *ids[2:]]


async def test_what_a_destroyed_group_has_postponed_is_kept_though_its_consumer_was_removed(
    commands: Redis,
) -> None:
    """It is pending no more, and lies before the place up to which the group had finished."""
    ids = await fill(commands, A, 6)
    await join(commands, "worker")
    await take(commands, "worker", 6)
    await acks.ack(commands, "g", "worker", [(A, one) for one in ids[1:]])
    await commands.zadd(names.due(A, "g"), {ids[0]: await now_ms(commands) + 3_600_000})
    await remove(commands, "worker")
    await record(commands)
    assert await commands.xgroup_destroy(A, "g")
    await trim(commands, [A], 2, idle_days=7)
    assert ids[0] in {one for one, _ in await entries(commands, A)}
    await ensure_group(commands, [A], "g")
    await trim(commands, [A], 2, idle_days=7)
    await commands.zadd(names.due(A, "g"), {ids[0]: 1})
    taken, _ = await reclaim(commands, "g", "other", [A], lease_seconds=60, count=9)
    assert [entry.id for entry in taken] == [ids[0]]

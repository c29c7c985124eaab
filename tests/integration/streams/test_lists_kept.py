"""The list of what is pending outlives our own commands, so what somebody drops with a consumer is found."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, dead, manage, names
from abe_redis.streams.erase import erase
from tests.integration.on_streams import A, fill, group, recorded, rows
from tests.integration.streams.group_progress import trim_in_an_hour
from tests.integration.streams.removed_consumers import (
    HOW,
    join,
    record,
    redis_url,
    remove,
    take,
    taken_over,
)

__all__ = ["redis_url"]


@HOW
@pytest.mark.parametrize("more", [0, 300], ids=["few", "more than are remembered"])
async def test_what_a_removed_consumer_held_is_found_after_others_events_were_erased(
    commands: Redis, how: str, more: int
) -> None:
    """Erased are events that it held, that it had finished, and that nobody had been given."""
    ids = await fill(commands, A, 9 + more)
    await join(commands, "dead")
    await take(commands, "dead", 2)
    await record(commands)
    await take(commands, "dead", 4 + more)
    assert await acks.ack(commands, "g", "dead", [(A, ids[1])]) == ["done"]
    held, new = [ids[0], *ids[3 : 5 + more]], ids[6 + more :]
    for erased in ([*held[1:], ids[1]], [new[0]], [new[2]]):
        for at in range(0, len(erased), 100):
            await erase(commands, A, erased[at : at + 100])
    assert await remove(commands, "dead") == 3
    assert [entry_id for entry_id, _ in await taken_over(commands, how)] == [ids[0], ids[2], ids[5 + more]]
    progress = await record(commands)
    assert (progress.put_back, progress.lost) == (0, 0)
    assert await recorded(commands, A, "lost") is None
    assert await take(commands, "other", 5) == [new[1]]


async def test_what_is_erased_elsewhere_takes_nothing_from_the_list_of_a_group(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    await join(commands, "dead")
    await take(commands, "dead", 3)
    await record(commands)
    assert await acks.ack(commands, "g", "dead", [(A, ids[0])]) == ["done"]
    before = await recorded(commands, A, "known")
    assert await erase(commands, A, [ids[0]]) == (1, 0)
    assert await recorded(commands, A, "known") == before


async def test_the_list_counts_what_was_erased_unread_as_given(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    await join(commands, "dead")
    await take(commands, "dead", 2)
    await record(commands)
    assert await erase(commands, A, [ids[2], ids[4]]) == (2, 2)
    position, pending, read, _ = (await recorded(commands, A, "known")).split(b"\n")[0].split()
    of = await group(commands)
    assert (position, read) == (of["last-delivered-id"], b"%d" % of["entries-read"])
    assert pending == b"2"


async def test_what_a_removed_consumer_held_is_found_after_trimming_passed_the_group_over(
    commands: Redis,
) -> None:
    ids = await fill(commands, A, 8)
    await join(commands, "dead")
    await take(commands, "dead", 5)
    await record(commands)
    await anyio.sleep(0.01)
    await trim_in_an_hour(commands, A, 5, idle_days=1e-8)
    assert sorted(await rows(commands, A)) == ids[3:5]
    assert await remove(commands, "dead") == 2
    assert [entry_id for entry_id, _ in await taken_over(commands, "reclaim")] == ids[3:5]


@HOW
async def test_what_a_removed_consumer_held_is_found_after_much_was_replayed(
    commands: Redis, how: str
) -> None:
    """A replay of many steps, with a note each, while no worker lists what is pending."""
    ids = await fill(commands, A, 250)
    await join(commands, "worker")
    await take(commands, "worker", 250)
    assert await acks.ack(commands, "g", "worker", [(A, entry_id) for entry_id in ids[1:]]) == ["done"] * 249
    await record(commands)
    notes: dict[Any, Any] = {f"={ms}-9 1 1": f"{ms}-9 1" for ms in range(4990)}
    await commands.hset(names.pending(A, "g"), mapping=notes)
    assert await manage.replay(commands, A, "g", "-", "+") == 249
    assert await remove(commands, "worker") == 1
    await taken_over(commands, how)
    assert next(iter(await rows(commands, A))) == ids[0]
    assert await recorded(commands, A, "lost") is None


async def test_what_is_replayed_is_found_though_its_consumer_was_removed(commands: Redis) -> None:
    ids = await fill(commands, A, 250)
    await join(commands, "worker")
    await take(commands, "worker", 250)
    await acks.ack(commands, "g", "worker", [(A, entry_id) for entry_id in ids])
    await record(commands)
    assert await manage.replay(commands, A, "g", "-", "+") == len(ids)
    assert await commands.hlen(names.pending(A, "g")) <= 4  # the list, and a note for each hundred
    assert await remove(commands, "abe:replay") == len(ids)
    assert (await record(commands)).put_back == len(ids)
    assert list(await rows(commands, A)) == ids


async def test_what_a_redriven_event_makes_pending_again_is_found_though_somebody_removes_nobody(
    commands: Redis,
) -> None:
    """The redrive makes the group again that somebody destroyed, and no worker has listed that."""
    ids = await fill(commands, A, 4)
    await join(commands, "worker")
    await take(commands, "worker", 4)
    assert await dead.bury(commands, A, "g", "worker", ids[1], "poison")
    await record(commands)
    await commands.xgroup_destroy(A, "g")
    letters: Any = await commands.xrange(names.dead_letters(A))
    assert await dead.redrive(commands, A, [letters[0][0].decode()], hard_maxlen=100)
    left = [ids[0], *ids[2:]]
    assert list(await rows(commands, A)) == left
    assert await remove(commands, "abe:nobody") == 3
    assert [entry_id for entry_id, _ in await taken_over(commands, "reclaim")] == left


async def test_the_list_and_the_leases_outlive_a_bot_that_is_switched_off_for_months(commands: Redis) -> None:
    await fill(commands, A, 1)
    await join(commands, "worker")
    await take(commands, "worker", 1)
    await record(commands)
    for key in (names.pending(A, "g"), names.leases(A, "g")):
        assert 89 * 86_400 < await commands.ttl(key) <= 90 * 86_400

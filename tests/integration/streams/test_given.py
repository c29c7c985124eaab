"""What was given back to nobody outlives the consumer that stands for nobody, and only that."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, consumers, dead, erase, lease, names, owners, release, renewal
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, always, fill, hold, recorded, rows

LEASE_SECONDS = 60.0


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def give_back(redis: Redis, *ids: str, deliveries: int = 1) -> None:
    known = dict.fromkeys(((A, entry_id) for entry_id in ids), deliveries)
    assert await release.release(redis, "g", "holder", [A], known, everything=False) == len(ids)


async def remove_nobody(redis: Redis) -> None:
    await redis.xgroup_delconsumer(A, "g", names.NOBODY)


async def reclaimed(redis: Redis) -> dict[str, int]:
    leased, _ = await reclaim(redis, "g", "taker", [A], lease_seconds=LEASE_SECONDS, count=10)
    return {entry.id: entry.deliveries for entry in leased}


async def test_it_is_delivered_in_order_and_with_its_count(commands: Redis) -> None:
    ids = await hold(commands, A, 12)
    await give_back(commands, *ids[:6], deliveries=2)
    await give_back(commands, *ids[6:], deliveries=2)
    await remove_nobody(commands)
    assert list((await reclaimed(commands)).items()) == [(entry_id, 3) for entry_id in ids[:10]]
    assert list(await reclaimed(commands)) == ids[10:]
    assert await recorded(commands, A, "given") is None


async def test_it_is_there_again_when_more_is_given_back_before_anybody_looks(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    await give_back(commands, ids[0])
    await remove_nobody(commands)
    await give_back(commands, ids[1])
    await remove_nobody(commands)
    assert await release.postpone(commands, A, "g", "holder", ids[2], delay_seconds=0, begun=1) == "done"
    assert list(await reclaimed(commands)) == ids


async def test_what_somebody_took_and_finished_is_not_delivered_again(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    await give_back(commands, *ids)
    assert list(await reclaimed(commands)) == ids
    await acks.ack(commands, "g", "taker", [(A, ids[0])])
    claim = renewal.Claim(A, ids[1], begun=2, sure=always, stage=renewal.Stage.AT_WORK)
    known = {(A, ids[1]): 1}
    await release.release(commands, "g", "taker", [A], known, everything=False)
    assert await renewal.hold(commands, "g", "taker", [claim]) == ["done"]  # and is at work with it again
    await acks.ack(commands, "g", "taker", [(A, ids[1])])
    await remove_nobody(commands)
    assert await reclaimed(commands) == {}
    assert list(await rows(commands, A)) == [ids[2]]


async def _take_back(redis: Redis, entry_id: str, *, begins: bool) -> None:
    claim = renewal.Claim(A, entry_id, begun=1, sure=always, stage=renewal.Stage.AT_WORK)
    assert await renewal.hold(redis, "g", "worker", [claim], begins=begins) == ["done"]


async def _finish(redis: Redis, entry_id: str, how: str) -> None:
    match how:
        case "renewed":
            await _take_back(redis, entry_id, begins=False)
        case "begun":
            await _take_back(redis, entry_id, begins=True)
        case "begun-in-order":
            owner = owners.Owner.make("g", "worker", LEASE_SECONDS)
            assert await owners.own(redis, owner, [A]) == [A]
            entry = lease.Leased(A, entry_id, {}, 2, 0.0, again=True)
            assert await owners.start(redis, owner, entry) == "started"
        case "buried":
            assert await dead.bury(redis, A, "g", "person", entry_id, "poison", by_hand=True) == "done"
            return
        case "erased":
            assert await erase.erase(redis, A, [entry_id]) == (1, 1)
            return
    who = "worker" if how in {"renewed", "begun", "begun-in-order"} else "person"
    assert await acks.ack(redis, "g", who, [(A, entry_id)]) == ["done"]


@pytest.mark.parametrize("how", ["acked", "renewed", "begun", "begun-in-order", "buried", "erased"])
async def test_what_is_finished_while_others_are_nobodys_is_not_delivered_again(
    commands: Redis, how: str
) -> None:
    ids = await hold(commands, A, 3)
    await give_back(commands, *ids)
    await _finish(commands, ids[1], how)
    given = (await recorded(commands, A, "given")).decode()
    assert sorted(line.split()[0] for line in given.splitlines()) == [ids[0], ids[2]]
    await remove_nobody(commands)
    assert list(await reclaimed(commands)) == [ids[0], ids[2]]
    assert await recorded(commands, A, "lost") is None


async def test_each_of_several_groups_keeps_its_own_when_entries_are_erased(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    await give_back(commands, *ids)
    await commands.xgroup_create(A, "h", "0")
    await lease.take_new(commands, "h", "holder", [A], count=3, block_ms=None)
    known = {(A, ids[2]): 1, (A, ids[1]): 1}
    await release.release(commands, "h", "holder", [A], known, everything=False)
    await erase.erase(commands, A, [ids[1]])
    given: Any = await commands.hmget(names.records(A), "given g", "given h")
    assert [sorted(line.split()[0].decode() for line in one.splitlines()) for one in given] == [
        [ids[0], ids[2]],
        [ids[2]],
    ]


async def test_what_is_acked_by_hand_stays_acked(commands: Redis) -> None:
    ids = await hold(commands, A, 2)
    await give_back(commands, *ids)
    await commands.xack(A, "g", *ids)
    assert await reclaimed(commands) == {}
    assert await recorded(commands, A, "given") is None
    await remove_nobody(commands)
    assert await reclaimed(commands) == {}


async def test_a_tidy_up_of_ours_delivers_nothing_again(commands: Redis) -> None:
    ids = await hold(commands, A, 2)
    await give_back(commands, *ids)
    await commands.xack(A, "g", *ids)
    assert await consumers.forget_gone(commands, "g", [A], idle_seconds=0)
    assert await recorded(commands, A, "given") is None
    assert await reclaimed(commands) == {}


async def test_what_is_deleted_meanwhile_counts_as_lost(commands: Redis) -> None:
    ids = await hold(commands, A, 2)
    await fill(commands, A, 1)
    await give_back(commands, *ids)
    await commands.xdel(A, ids[0])
    await remove_nobody(commands)
    assert list(await reclaimed(commands)) == ids[1:]
    assert await recorded(commands, A, "lost") == b"1"


async def test_a_group_that_was_set_back_is_given_it_as_new(commands: Redis) -> None:
    ids = await hold(commands, A, 2)
    await give_back(commands, *ids)
    await remove_nobody(commands)
    await commands.xgroup_setid(A, "g", "0")
    assert await reclaimed(commands) == {}
    news: Any = await lease.take_new(commands, "g", "taker", [A], count=5, block_ms=None)
    assert [entry.id for entry in news] == ids

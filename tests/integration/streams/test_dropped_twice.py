"""Somebody removes a consumer, its worker goes on, and then it dies and its consumer is removed again."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, choose, manage, names, release, renewal
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, always, fill, recorded, rows
from tests.integration.streams.removed_consumers import (
    HOW,
    LEASE_SECONDS,
    join,
    record,
    remove,
    take,
    taken_over,
)


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@HOW
@pytest.mark.parametrize("begun", [False, True], ids=["read ahead", "begun"])
async def test_what_a_live_worker_has_not_put_back_yet_when_it_dies_goes_to_another(
    commands: Redis, how: str, begun: bool
) -> None:
    """It has read again meanwhile, so its consumer is there when the pending entries are listed."""
    first, second = await fill(commands, A, 2)
    await join(commands, "dead")
    await take(commands, "dead", 1)
    await record(commands)
    if begun:
        claim = renewal.Claim(A, first, begun=1, sure=always, stage=renewal.Stage.AT_WORK)
        assert await renewal.hold(commands, "g", "dead", [claim], begins=True) == ["done"]
    assert await remove(commands, "dead") == 1
    await take(commands, "dead", 1)
    now = 1000 * (await commands.time())[0]
    await commands.hset(names.leases(A, "g"), "dead", f"60000 {now}")  # also on a machine that is slow
    assert (await record(commands)).put_back == 1
    assert await remove(commands, "dead") == 1
    found = await taken_over(commands, how)
    assert [entry_id for entry_id, _ in found] == [first, second]
    assert await recorded(commands, A, "lost") is None


async def pending_again_since_the_list(commands: Redis, again: str) -> str:
    """An entry that was not pending when the entries were listed: it waited to be due, or was done."""
    (first,) = await fill(commands, A, 1)
    await join(commands, "first")
    await take(commands, "first", 1)
    if again == "replayed":
        assert await acks.ack(commands, "g", "first", [(A, first)]) == ["done"]
    else:
        await release.postpone(commands, A, "g", "first", first, delay_seconds=0.01, begun=1)
        assert await remove(commands, "first") == 1
    await record(commands)
    assert (await commands.xpending(A, "g"))["pending"] == 0
    await anyio.sleep(0.02)
    if again == "replayed":
        assert await manage.replay(commands, A, "g", first, first) == 1
    if again == "chosen":
        chosen = await choose.take_these(
            commands, "g", "dead", A, [first], lease_seconds=LEASE_SECONDS, postponed=True
        )
        assert [one.id for one in chosen.leased] == [first]
    else:
        leased, _ = await reclaim(commands, "g", "dead", [A], lease_seconds=LEASE_SECONDS, count=1)
        assert [one.id for one in leased] == [first]
    return first


AGAIN = pytest.mark.parametrize("again", ["due", "chosen", "replayed"])


@HOW
@AGAIN
async def test_what_is_pending_again_only_since_the_list_goes_to_another(
    commands: Redis, how: str, again: str
) -> None:
    first = await pending_again_since_the_list(commands, again)
    assert await remove(commands, "dead") == 1
    assert [entry_id for entry_id, _ in await taken_over(commands, how)] == [first]
    assert await recorded(commands, A, "lost") is None


@AGAIN
async def test_what_is_pending_again_only_since_the_list_survives_its_group(
    commands: Redis, again: str
) -> None:
    """The record of where the group had finished lies behind it."""
    first = await pending_again_since_the_list(commands, again)
    assert await commands.xgroup_destroy(A, "g") == 1
    await join(commands, "another")
    assert [entry_id for entry_id, _ in await taken_over(commands, "reclaim")] == [first]
    assert await recorded(commands, A, "lost") is None


async def settled_and_replayed(redis: Redis, *, replays: int = 1) -> list[str]:
    """Two entries that were done together after the list, and are pending again, the second of them."""
    ids = await fill(redis, A, 3)
    await join(redis, "dead")
    await take(redis, "dead", 3)
    await record(redis)
    assert await acks.ack(redis, "g", "dead", [(A, one) for one in ids[:2]]) == ["done"] * 2
    for _ in range(replays - 1):
        assert await manage.replay(redis, A, "g", ids[1], ids[1]) == 1
        await reclaim(redis, "g", "dead", [A], lease_seconds=LEASE_SECONDS, count=1)
        assert await acks.ack(redis, "g", "dead", [(A, ids[1])]) == ["done"]
    assert await manage.replay(redis, A, "g", ids[1], ids[1]) == 1
    return ids


@HOW
@pytest.mark.parametrize("replays", [1, 2])
@pytest.mark.parametrize("holder", ["abe:replay", "dead"])
async def test_what_was_settled_and_replayed_since_the_list_goes_to_another(
    commands: Redis, how: str, holder: str, replays: int
) -> None:
    _, replayed, held = await settled_and_replayed(commands, replays=replays)
    if holder == "dead":
        leased, _ = await reclaim(commands, "g", "dead", [A], lease_seconds=LEASE_SECONDS, count=1)
        assert [one.id for one in leased] == [replayed]
    await remove(commands, holder, "dead")
    assert [entry_id for entry_id, _ in await taken_over(commands, how)] == [replayed, held]
    assert await recorded(commands, A, "lost") is None


@pytest.mark.parametrize("by", ["XGROUP DELCONSUMER", "XGROUP DESTROY"])
async def test_what_was_settled_after_its_replay_is_not_delivered_again(commands: Redis, by: str) -> None:
    _, replayed, held = await settled_and_replayed(commands)
    leased, _ = await reclaim(commands, "g", "dead", [A], lease_seconds=LEASE_SECONDS, count=1)
    assert [one.id for one in leased] == [replayed]
    assert await acks.ack(commands, "g", "dead", [(A, replayed)]) == ["done"]
    if by == "XGROUP DESTROY":
        await commands.xgroup_destroy(A, "g")
        await join(commands, "another")
    else:
        await remove(commands, "dead")
    assert [entry_id for entry_id, _ in await taken_over(commands, "reclaim")] == [held]


async def test_an_ack_by_hand_of_what_no_live_worker_holds_stays(commands: Redis) -> None:
    first, second = await fill(commands, A, 2)
    await join(commands, "dead")
    await join(commands, "alive")
    await take(commands, "dead", 1)
    await take(commands, "alive", 1)
    await commands.hset(names.leases(A, "g"), "dead", "1000 1")  # long ago
    await record(commands)
    await commands.xack(A, "g", first)
    assert (await record(commands)).put_back == 0
    assert set(await rows(commands, A)) == {second}

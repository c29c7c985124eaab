"""What a dead worker held is delivered again, though somebody removed its consumer before its lease ended."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, choose, dead, names, release, renewal
from abe_redis.streams.consumers import withdraw
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, always, fill, recorded, rows
from tests.integration.streams.removed_consumers import (
    HOW,
    LEASE_SECONDS,
    NOBODY,
    join,
    record,
    redis_url,
    remove,
    take,
    taken_over,
)

__all__ = ["redis_url"]


@HOW
@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "just taken"])
async def test_what_a_removed_consumer_held_goes_to_another(
    commands: Redis, how: str, is_listed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await fill(commands, A, 5)
    await join(commands, "dead")
    assert await take(commands, "dead", 3) == ids[:3]
    if is_listed:
        await record(commands)
    assert await acks.ack(commands, "g", "dead", [(A, ids[1])]) == ["done"]
    assert await remove(commands, "dead") == 2
    found = await taken_over(commands, how)
    assert [entry_id for entry_id, _ in found] == [ids[0], ids[2]]
    assert "had removed the consumer" in caplog.text
    assert await recorded(commands, A, "lost") is None
    # Again, nothing more is found, also when these are finished.
    name = "owner" if how == "owner" else "other"
    assert await acks.ack(commands, "g", name, [(A, ids[0]), (A, ids[2])]) == ["done"] * 2
    assert (await record(commands)).put_back == 0
    assert await rows(commands, A) == {}


@pytest.mark.one_server
async def test_what_a_consumer_has_just_listed_others_do_not_compare_again(commands: Redis) -> None:
    ids = await fill(commands, A, 5)
    await join(commands, "dead")
    await take(commands, "dead", 3)
    await record(commands)

    async def taken(recent_seconds: float) -> tuple[int, bool]:
        """How many entries are put back under nobody's name; and whether the consumers were looked at."""
        await commands.config_resetstat()
        await reclaim(
            *(commands, "g", "other", [A]), lease_seconds=60, count=10, recent_seconds=recent_seconds
        )
        stats: Any = await commands.info("commandstats")
        put_back = [entry for entry, row in (await rows(commands, A)).items() if row[0] == NOBODY]
        return len(put_back), "cmdstat_xinfo|consumers" in stats

    await take(commands, "dead", 1)
    await remove(commands, "dead")
    assert await taken(3600) == (0, False)
    known = await recorded(commands, A, "known")
    at = known.split()[3]
    later = known.replace(at, b"%d" % (int(at) + 3_600_000))  # as after the clock was set back
    await commands.hset(names.records(A), "known g", later)
    assert await taken(1) == (4, True)
    assert set(await rows(commands, A)) == set(ids[:4])


async def test_the_count_of_deliveries_stays(commands: Redis) -> None:
    (first, second) = await fill(commands, A, 2)
    await join(commands, "dead")
    await take(commands, "dead", 2)
    await commands.xclaim(A, "g", "dead", 0, [first], retrycount=4, justid=True)
    await record(commands)
    await remove(commands, "dead")
    assert await taken_over(commands, "reclaim") == [(first, 5), (second, 2)]


async def test_an_agents_lease_adds_no_delivery(commands: Redis) -> None:
    (first,) = await fill(commands, A, 1)
    await join(commands, "mcp-agent-1")
    await take(commands, "mcp-agent-1", 1)
    await record(commands)
    await remove(commands, "mcp-agent-1")
    assert await taken_over(commands, "reclaim") == [(first, 1)]


async def test_several_at_once_and_nobody(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    for at, name in enumerate(("first", "second", "third")):
        await join(commands, name)
        assert await take(commands, name, 2) == ids[2 * at : 2 * at + 2]
    await record(commands)
    await remove(commands, "first", "second")
    assert (await record(commands)).put_back == 4
    assert await remove(commands, NOBODY, "third") == 6
    assert (await record(commands)).put_back == 6
    assert set(await rows(commands, A)) == set(ids)


async def test_a_live_worker_takes_its_own_back(commands: Redis) -> None:
    ids = await fill(commands, A, 2)
    await join(commands, "alive")
    await take(commands, "alive", 2)
    await record(commands)
    await remove(commands, "alive")
    assert (await record(commands)).put_back == 2
    # Nobody else gets them while the lease lasts.
    leased, _ = await reclaim(commands, "g", "other", [A], lease_seconds=60, count=10)
    assert leased == []
    claims = [
        renewal.Claim(A, entry_id, begun=1, sure=always, stage=renewal.Stage.AT_WORK) for entry_id in ids
    ]
    assert await renewal.hold(commands, "g", "alive", claims) == ["done"] * 2
    assert {row[0] for row in (await rows(commands, A)).values()} == {"alive"}
    assert await acks.ack(commands, "g", "alive", [(A, entry_id) for entry_id in ids]) == ["done"] * 2


async def test_what_is_settled_does_not_come_back(commands: Redis) -> None:
    """Acked, buried, released, taken over, postponed: just before the consumer goes."""
    acked, buried, released, others, postponed = ids = await fill(commands, A, 5)
    await join(commands, "dead")
    await join(commands, "other")
    await take(commands, "dead", 5)
    await record(commands)
    await acks.ack(commands, "g", "dead", [(A, acked)])
    assert await dead.bury(commands, A, "g", "dead", buried, "it is poison", sure=always) == "done"
    await release.release(
        commands, "g", "dead", [A], {(A, released): 1}, everything=False, in_hand={(A, released): always}
    )
    await commands.xclaim(A, "g", "other", 0, [others], justid=True)
    await acks.ack(commands, "g", "other", [(A, others)])
    assert (
        await release.postpone(commands, A, "g", "dead", postponed, delay_seconds=60, sure=always) == "done"
    )
    await remove(commands, "dead")
    assert (await record(commands)).put_back == 0
    assert set(await rows(commands, A)) == {released}
    assert await recorded(commands, A, "lost") is None
    assert len(ids) == 5


async def test_what_a_live_worker_finished_after_its_consumer_was_removed_does_not_come_back(
    commands: Redis,
) -> None:
    """Its ack finds no entry, and nobody has put it back yet."""
    listed, new, other = await fill(commands, A, 3)
    await join(commands, "alive")
    await take(commands, "alive", 1)
    await record(commands)
    await take(commands, "alive", 2)
    await remove(commands, "alive")
    assert await acks.ack(commands, "g", "alive", [(A, listed), (A, new)]) == ["unknown"] * 2
    assert (await record(commands)).put_back == 1
    assert set(await rows(commands, A)) == {other}


async def test_a_consumer_that_leaves_leaves_nothing_to_put_back(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    await join(commands, "leaver")
    await take(commands, "leaver", 3)
    await record(commands)
    await acks.ack(commands, "g", "leaver", [(A, entry_id) for entry_id in ids])
    await release.release(commands, "g", "leaver", [A], {}, everything=False, leaves=True)
    await withdraw(commands, "g", "leaver", [A])
    assert (await record(commands)).put_back == 0
    assert await rows(commands, A) == {}


@pytest.mark.parametrize("leaves", [False, True])
async def test_who_left_is_not_mistaken_for_removed(commands: Redis, leaves: bool) -> None:
    """So that an ack by hand, which nobody notes, is believed."""
    left, kept = await fill(commands, A, 2)
    await join(commands, "leaver")
    await take(commands, "leaver", 1)
    await join(commands, "alive")
    await take(commands, "alive", 1)
    await acks.ack(commands, "g", "leaver", [(A, left)])
    await release.release(commands, "g", "leaver", [A], {}, everything=False, leaves=leaves)
    await commands.hset(names.leases(A, "g"), "alive", "1000 1")  # long ago: a live one takes it back
    await record(commands)
    await commands.xack(A, "g", kept)
    assert (await record(commands)).put_back == 0
    assert await rows(commands, A) == {}


@HOW
async def test_who_left_with_a_postponed_event_is_not_mistaken_for_another_program(
    commands: Redis, how: str
) -> None:
    """Else what a consumer got since the last list would not be looked for."""
    later, new = await fill(commands, A, 2)
    await join(commands, "leaver")
    await take(commands, "leaver", 1)
    assert await release.postpone(commands, A, "g", "leaver", later, delay_seconds=600) == "done"
    await release.release(commands, "g", "leaver", [A], {}, everything=False, leaves=True)
    await withdraw(commands, "g", "leaver", [A])
    await join(commands, "dead")
    await record(commands)
    assert await take(commands, "dead", 1) == [new]
    assert await remove(commands, "dead") == 1
    found = {entry_id for entry_id, _ in await taken_over(commands, how)}
    assert found - {later} == {new}, "an owner also loads what is postponed"


@HOW
@pytest.mark.parametrize("comes_back", [False, True])
async def test_what_a_removed_consumer_got_is_found_when_redis_does_not_tell_how_much_was_given(
    commands: Redis, how: str, comes_back: bool
) -> None:
    """After XGROUP SETID, or when somebody made the group again, in front of a backlog."""
    first, second, third, *_ = await fill(commands, A, 9)
    await join(commands, "alive")
    await take(commands, "alive", 1)
    await commands.xgroup_setid(A, "g", first)
    await join(commands, "dead")
    await record(commands)
    await take(commands, "dead", 2)
    await renewal.hold(
        commands, "g", "dead", [renewal.Claim(A, one, 1, sure=always) for one in (second, third)], begins=True
    )
    (group,) = await commands.xinfo_groups(A)
    assert group["entries-read"] is None
    assert await remove(commands, "dead") == 2
    if comes_back:  # by a read that was on its way
        await commands.xgroup_createconsumer(A, "g", "dead")
    found = [entry_id for entry_id, _ in await taken_over(commands, how)]
    assert [one for one in found if one != first] == [second, third]


async def test_acks_of_another_program_in_the_group_are_believed(commands: Redis) -> None:
    """Its acks are noted nowhere, and it removes its own consumer."""
    ids = await fill(commands, A, 4)
    await join(commands, "dead")
    await take(commands, "dead", 1)
    await take(commands, "foreign", 1)
    await record(commands)
    await take(commands, "foreign", 2)
    await commands.xack(A, "g", *ids[1:])
    await remove(commands, "dead")
    assert (await record(commands)).put_back == 1
    await remove(commands, "foreign")
    assert (await record(commands)).put_back == 0
    assert set(await rows(commands, A)) == {ids[0]}


@HOW
@pytest.mark.parametrize("since", ["listed", "just taken", "joined"])
async def test_what_a_removed_consumer_held_is_found_when_memory_was_full_then(
    commands: Redis, how: str, since: str
) -> None:
    done, kept, more = await fill(commands, A, 3)
    await join(commands, "other" if since == "joined" else "dead")
    await record(commands)
    await commands.config_set("maxmemory", 1)
    try:
        if since == "joined":
            await join(commands, "alive")
            await commands.config_set("maxmemory", 0)
            await commands.xgroup_createconsumer(A, "g", "alive")
            await commands.config_set("maxmemory", 1)
        await join(commands, "dead")
        if since == "just taken":
            await record(commands, is_full=True)
            await take(commands, "dead", 3)
        else:
            await take(commands, "dead", 3)
            await record(commands, is_full=True)
        assert await acks.ack(commands, "g", "dead", [(A, done)]) == ["done"]
        assert await remove(commands, "dead") == 2
        assert (await record(commands, is_full=True)).put_back == 2
        assert set(await rows(commands, A)) == {kept, more}
    finally:
        await commands.config_set("maxmemory", 0)
    assert {entry_id for entry_id, _ in await taken_over(commands, how)} == {kept, more}


@pytest.mark.parametrize("how", ["list", "records"])
async def test_without_a_list_nothing_is_guessed(commands: Redis, how: str) -> None:
    await fill(commands, A, 3)
    await join(commands, "dead")
    await take(commands, "dead", 2)
    await record(commands)
    if how == "list":
        await commands.delete(names.pending(A, "g"))
    else:
        await commands.hdel(names.records(A), "known g")
    await remove(commands, "dead")
    assert (await record(commands)).put_back == 0


async def test_a_key_of_another_type_in_its_place_harms_nothing(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    await commands.set(names.pending(A, "g"), "mine")
    await join(commands, "dead")
    assert await take(commands, "dead", 2) == ids[:2]
    await record(commands)
    assert await acks.ack(commands, "g", "dead", [(A, ids[0])]) == ["done"]
    await remove(commands, "dead")
    assert (await record(commands)).put_back == 0
    assert await commands.get(names.pending(A, "g")) == b"mine"


async def test_choosing_an_entry_by_its_id_finds_it(commands: Redis) -> None:
    """As an agent or a person does, without any worker."""
    (first,) = await fill(commands, A, 1)
    await join(commands, "dead")
    await take(commands, "dead", 1)
    await remove(commands, "dead")
    chosen = await choose.take_these(
        commands, "g", "other", A, [first], lease_seconds=LEASE_SECONDS, postponed=False
    )
    assert chosen.others == [(first, "held", NOBODY)]

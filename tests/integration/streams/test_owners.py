"""Who owns a stream, and what only the owner does: what the functions for it promise."""

import time

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import acks, groups, lease, names, owners, release
from abe_redis.streams.owners import Owner
from abe_redis.streams.patterns import Patterns
from tests.integration.on_streams import LONG_MS, A, B, C, fill, hold, let_lapse, now_ms, recorded, rows

ME = Owner("g", "me", "my token", 50.0)
OTHER = Owner("g", "other", "other token", 50.0)
PATTERNS = Patterns(["{t}*"])


async def test_members_meet_and_are_forgotten_after_a_lease(commands: Redis) -> None:
    key = names.members("g", PATTERNS)
    assert await owners.meet(commands, ME, PATTERNS, stay=True) == [ME.token]
    seen = await commands.zscore(key, ME.token)
    assert seen is not None
    assert abs(seen - await now_ms(commands)) < 20_000
    assert 30_000 < await commands.pttl(key) <= 50_000
    now = await now_ms(commands)
    await commands.zadd(key, {"gone": now - 50_001, "gone too": 1, "there": now - 30_000})
    assert await owners.meet(commands, OTHER, PATTERNS, stay=True) == ["there", ME.token, OTHER.token]
    assert await commands.zcard(key) == 3
    assert await owners.meet(commands, OTHER, PATTERNS, stay=False) == ["there", ME.token]
    assert await owners.meet(commands, Owner("h", "x", "x", 50.0), PATTERNS, stay=True) == ["x"]


async def test_the_clock_of_members_is_exact(commands: Redis) -> None:
    """Whether the second has just begun or is nearly over."""
    key = names.members("g", PATTERNS)
    for part in (0.1, 0.7):
        while not part <= (await now_ms(commands)) % 1000 / 1000 <= part + 0.2:
            await anyio.sleep(0.01)
        before = await now_ms(commands)
        await owners.meet(commands, ME, PATTERNS, stay=True)
        seen = await commands.zscore(key, ME.token)
        assert seen is not None
        assert before - 1 <= seen <= await now_ms(commands)


@pytest.mark.promise(
    "names the worker that owns a stream, and expires after `REDIS_STREAM_LEASE_SECONDS` without renewal."
)
async def test_a_stream_has_one_owner(commands: Redis) -> None:
    assert await owners.owners(commands, ME.group, [A, B]) == {A: "", B: ""}
    assert await owners.own(commands, ME, [A, B]) == [A, B]
    assert await owners.own(commands, OTHER, [C, A]) == [C]
    assert await owners.owners(commands, ME.group, [A, B, C]) == {A: ME.token, B: ME.token, C: OTHER.token}
    assert 30_000 < await commands.pttl(names.owner(A, "g")) <= 50_000
    await commands.pexpire(names.owner(A, "g"), 20_000)
    await commands.delete(names.owner(B, "g"))
    assert await owners.renew(commands, ME, [A, B, C]) == [A]  # nobody's may have been somebody's meanwhile
    assert 30_000 < await commands.pttl(names.owner(A, "g")) <= 50_000
    assert await owners.owners(commands, ME.group, [B]) == {B: ""}
    assert await owners.own(commands, ME, [A]) == [A]
    await owners.disown(commands, ME, [A, B, C])
    assert await owners.owners(commands, OTHER.group, [A, B, C]) == {A: "", B: "", C: OTHER.token}


@pytest.mark.promise("a late copy of a claim finds a stream that its worker has released before it ended.")
@pytest.mark.promise("The stream then waits for one lease, as if that worker had died.")
async def test_the_late_copy_of_a_claim_takes_a_released_stream_for_one_lease(commands: Redis) -> None:
    assert await owners.own(commands, ME, [A]) == [A]
    await owners.disown(commands, ME, [A])
    assert await owners.own(commands, ME, [A]) == [A]  # the copy
    assert await owners.own(commands, OTHER, [A]) == []
    assert 0 < await commands.pttl(names.owner(A, "g")) <= ME.lease_ms


async def test_an_owner_takes_over_what_was_not_finished(commands: Redis) -> None:
    ids = await hold(commands, A, 5)
    await fill(commands, A, 2)
    await acks.ack(commands, "g", "holder", [(A, ids[0])])
    await let_lapse(commands, A, ids[1:2], deliveries=0)
    await let_lapse(commands, A, ids[2:3], deliveries=3)
    now = int(await now_ms(commands))
    await commands.zadd(names.due(A, "g"), {ids[3]: now + 60_000, ids[4]: now - 60_000})
    await owners.own(commands, ME, [A])
    loaded = await owners.load(commands, ME, A, everybody=True)
    assert loaded is not None
    assert [(entry.id, entry.deliveries) for entry, _ in loaded.entries] == [
        (ids[1], 1),
        (ids[2], 4),
        (ids[3], 2),
        (ids[4], 2),
    ]
    assert loaded.entries[0][0].fields == {b"data": f"{A} 1".encode()}
    assert {entry.stream for entry, _ in loaded.entries} == {A}
    assert [round(wait) for _, wait in loaded.entries] == [0, 0, 60, 0]
    assert [wait for _, wait in loaded.entries if wait < 1] == [0, 0, 0]
    assert (loaded.last, loaded.lost) == (ids[4], 0)
    assert await recorded(commands, A, "lost") is None
    found = await rows(commands, A)
    assert [(row[0], row[1]) for row in found.values()] == [("me", 0), ("me", 3), ("me", 1), ("me", 1)]
    assert max(row[2] for row in found.values()) < LONG_MS / 2


async def test_how_long_it_still_waits_is_exact(commands: Redis) -> None:
    (entry_id,) = await hold(commands, A, 1)
    await owners.own(commands, ME, [A])
    for part in (0.1, 0.7):
        while not part <= (await now_ms(commands)) % 1000 / 1000 <= part + 0.2:
            await anyio.sleep(0.01)
        until = int(await now_ms(commands)) + 30_000
        await commands.zadd(names.due(A, "g"), {entry_id: until})
        before = until - await now_ms(commands)
        loaded = await owners.load(commands, ME, A, everybody=True)
        assert loaded is not None
        ((_, wait),) = loaded.entries
        assert until - await now_ms(commands) - 1 <= wait * 1000 <= before + 1


async def test_events_under_anothers_lease_are_left_alone(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    await let_lapse(commands, A, ids[:1], deliveries=1, by="me")
    await commands.xclaim(A, "g", "me", 0, [ids[1]], idle=20_000, justid=True)
    await commands.xclaim(A, "g", "holder", 0, [ids[2]], idle=60_000, justid=True)
    await owners.own(commands, ME, [A])
    loaded = await owners.load(commands, ME, A)
    assert loaded is not None
    assert [entry.id for entry, _ in loaded.entries] == ids[:3]
    assert (await rows(commands, A))[ids[3]][0] == "holder"


async def test_only_what_is_behind_and_was_not_renewed_is_loaded(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    await let_lapse(commands, A, [ids[0], ids[1], ids[3]], deliveries=1)
    await owners.own(commands, ME, [A])
    loaded = await owners.load(commands, ME, A, after=ids[0], idle_seconds=60, everybody=True)
    assert loaded is not None
    assert [entry.id for entry, _ in loaded.entries] == [ids[1], ids[3]]
    loaded = await owners.load(commands, ME, A, idle_seconds=2 * LONG_MS / 1000, everybody=True)
    assert loaded is not None
    assert (loaded.entries, loaded.last, loaded.lost) == ([], ids[3], 0)


@pytest.mark.parametrize("count", [1, 250])
async def test_what_an_owner_was_given_and_has_not_seen_is_loaded_at_once_though_somebody_removed_the_group(
    commands: Redis, count: int
) -> None:
    """It is nobody's when the group is made again; what comes later of its conversation must wait for it."""
    await groups.ensure_group(commands, [A], "g")
    await owners.own(commands, ME, [A])
    seen, *unseen = await hold(commands, A, 1 + count, by="me")
    await groups.record_progress(commands, [A], "g")
    await commands.xgroup_destroy(A, "g")
    await groups.ensure_group(commands, [A], "g")
    assert {row[0] for row in (await rows(commands, A)).values()} == {"abe:nobody"}
    loaded = await owners.load(commands, ME, A, after=seen)
    assert loaded is not None
    assert [entry.id for entry, _ in loaded.entries] == unseen


async def test_what_was_put_back_waits_for_its_holder_and_what_was_given_back_does_not(
    commands: Redis,
) -> None:
    put_back, taken, given_back = await hold(commands, A, 3, by="me")
    await owners.own(commands, ME, [A])
    await commands.xclaim(A, "g", "abe:nobody", 0, [put_back], justid=True)
    await commands.xclaim(A, "g", "agent", 0, [taken], justid=True)
    await release.release(commands, "g", "me", [A], {(A, given_back): 0}, everything=False, stays=True)
    loaded = await owners.load(commands, ME, A, idle_seconds=50)
    assert loaded is not None
    assert [entry.id for entry, _ in loaded.entries] == [given_back]
    await let_lapse(commands, A, [put_back, taken], deliveries=1, by="abe:nobody")
    loaded = await owners.load(commands, ME, A, idle_seconds=50)
    assert loaded is not None
    assert [entry.id for entry, _ in loaded.entries] == [put_back, taken]


@pytest.mark.parametrize("count", [99, 100, 101, 250])
async def test_as_much_is_loaded_as_there_is(commands: Redis, count: int) -> None:
    ids = await hold(commands, A, count)
    await commands.xdel(A, ids[7], ids[count - 1], ids[count - 2])
    await owners.own(commands, ME, [A])
    loaded = await owners.load(commands, ME, A, everybody=True)
    assert loaded is not None
    there = [entry_id for at, entry_id in enumerate(ids) if at not in {7, count - 1, count - 2}]
    assert [entry.id for entry, _ in loaded.entries] == there
    assert (loaded.last, loaded.lost) == (ids[-1], 3)
    assert list(await rows(commands, A)) == there
    assert await recorded(commands, A, "lost") == b"3"
    again = await owners.load(commands, ME, A, everybody=True)
    assert again is not None
    assert again.lost == 0


@pytest.mark.promise("a late command from a dead connection changes nothing.")
async def test_a_consumer_that_is_not_the_owner_loads_and_starts_nothing(commands: Redis) -> None:
    (entry_id,) = await hold(commands, A, 1)
    assert await owners.load(commands, ME, A, everybody=True) is None
    await owners.own(commands, OTHER, [A])
    assert await owners.load(commands, ME, A, everybody=True) is None
    entry = lease.Leased(A, entry_id, {}, 7)
    assert await owners.start(commands, ME, entry) == "disowned"
    assert (await rows(commands, A))[entry_id][:2] == ("holder", 1)


async def test_a_removed_group_is_reported(commands: Redis) -> None:
    await commands.xadd(A, {"data": "x"})
    await owners.own(commands, ME, [A])
    with pytest.raises(ResponseError, match=r"NOGROUP there is no group g on \{t\}a"):
        await owners.load(commands, ME, A)
    assert await owners.start(commands, ME, lease.Leased(A, "1-1", {}, 1)) == "no_group"


async def test_a_delivery_is_counted_when_it_begins(commands: Redis) -> None:
    first, second = await hold(commands, A, 2, by="me")
    await commands.xclaim(A, "g", "other", 0, [second], justid=True)
    await let_lapse(commands, A, [first], deliveries=1, by="me")
    await commands.zadd(names.due(A, "g"), {first: 1, second: 1})
    await owners.own(commands, ME, [A])
    assert await owners.start(commands, ME, lease.Leased(A, first, {}, 4)) == "started"
    assert await owners.start(commands, ME, lease.Leased(A, second, {}, 4)) == "gone"
    assert await owners.start(commands, ME, lease.Leased(A, "1-1", {}, 4)) == "gone"
    found = await rows(commands, A)
    assert (found[first][:2], found[second][:2]) == (("me", 4), ("other", 1))
    assert found[first][2] < LONG_MS / 2
    assert await commands.zrange(names.due(A, "g"), 0, -1) == [second.encode()]


async def test_waiting_takes_nothing_and_ends_with_news(commands: Redis) -> None:
    a, b = await fill(commands, A, 2), await fill(commands, B, 2)
    assert await owners.wait(commands, {A: a[1], B: b[0]}, seconds=5) == [B]
    assert await owners.wait(commands, {A: a[0], B: b[0]}, seconds=5) == [A, B]
    began = time.monotonic()
    assert await owners.wait(commands, {A: a[1], B: b[1]}, seconds=0.3) == []
    assert time.monotonic() - began > 0.25
    assert await owners.wait(commands, {A: a[1], B: b[1]}, seconds=0) == []  # not for ever
    assert await rows(commands, A) == {}

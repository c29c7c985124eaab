"""Groups as people move them, consumers that are gone, and looks at a stream: what the functions promise."""

from datetime import UTC, datetime
from typing import Any, cast

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis import Settings
from abe_redis.inspection.stats import stream_stats
from abe_redis.schemas import GroupStats, StreamStats
from abe_redis.streams import lease, manage, names, peek, release, renewal
from abe_redis.streams.consumers import forget_gone
from abe_redis.streams.erase import erase
from abe_redis.streams.groups import ensure_group
from abe_redis.streams.hold_times import GIVEN_BACK_MS
from abe_redis.streams.ids import order
from abe_redis.streams.manage import Unfinished
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, B, C, consumers, fill, hold, now_ms, recorded, rows
from tests.patience import PATIENCE

ALL = ("floor", "used", "lost", "paused")


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def record(redis: Redis) -> None:
    """All that may be recorded about the group, and something about another."""
    for group in ("g", "other"):
        for what in ALL:
            await redis.hset(names.records(A), f"{what} {group}", "1")
        await redis.zadd(names.due(A, group), {"1-0": 1})


async def group(redis: Redis, name: str = "g", stream: str = A) -> dict[str, Any]:
    found: Any = await redis.xinfo_groups(stream)
    (one,) = [row for row in found if row["name"].decode() == name]
    return dict(one)


async def taken(redis: Redis, count: int = 1000, *, stream: str = A) -> list[str]:
    leased = await lease.take_new(redis, "g", "me", [stream], count=count, block_ms=None)
    return [entry.id for entry in leased]


# Making a group --------------------------------------------------------------------------------


async def test_a_group_is_made_behind_what_was_asked_for(commands: Redis) -> None:
    ids = await fill(commands, A, 5, group="filler")
    await commands.xtrim(A, maxlen=3, approximate=False)
    positions = {"first": "0-0", "last": "$", "on": ids[2], "within": ids[3]}
    for name, position in positions.items():
        await manage.create(commands, A, name, position)
    found = {name: await group(commands, name) for name in positions}
    assert {name: of["entries-read"] for name, of in found.items()} == {
        "first": 2, "last": 5, "on": None, "within": None,
    }  # fmt: skip
    assert (found["first"]["lag"], found["last"]["lag"]) == (3, 0)
    assert [of["last-delivered-id"].decode() for of in found.values()] == ["0-0", ids[4], ids[2], ids[3]]
    with pytest.raises(ResponseError, match="BUSYGROUP"):
        await manage.create(commands, A, "first", "0-0")
    with pytest.raises(ResponseError):
        await manage.create(commands, B, "first", "0-0")
    assert not await commands.exists(B)


async def test_a_group_that_is_made_in_an_empty_stream_has_lost_nothing(commands: Redis) -> None:
    await fill(commands, A, 2, group="filler")
    await commands.xtrim(A, maxlen=0, approximate=False)
    await manage.create(commands, A, "g", "0-0")
    assert (await group(commands))["entries-read"] == 2
    await fill(commands, A, 1)
    assert (await group(commands))["lag"] == 1


async def test_a_group_that_is_made_by_hand_begins_anew(commands: Redis) -> None:
    await fill(commands, A, 1, group="filler")
    await record(commands)
    await manage.create(commands, A, "g", "0-0")
    assert [await recorded(commands, A, what) for what in ("floor", "lost", "paused")] == [None] * 3
    assert abs(int(await recorded(commands, A, "used")) - await now_ms(commands) / 1000) < 60
    assert await commands.hmget(names.records(A), [f"{what} other" for what in ALL]) == [b"1"] * 4
    await record(commands)
    with pytest.raises(ResponseError, match="BUSYGROUP"):
        await manage.create(commands, A, "g", "0-0")
    assert [await recorded(commands, A, what) for what in ALL] == [b"1"] * 4, "what is there stays"


# Moving a group --------------------------------------------------------------------------------


async def test_a_group_is_moved_when_nothing_is_pending_or_by_force(commands: Redis) -> None:
    ids = await hold(commands, A, 2)
    await record(commands)
    assert await manage.reset(commands, A, "g", "0-0", force=False) == (Unfinished(2, 0), False)
    assert set(await rows(commands, A)) == set(ids)
    assert await commands.exists(names.due(A, "g"))
    assert await recorded(commands, A, "floor") == b"1"
    assert await manage.reset(commands, A, "g", "0-0", force=True) == (Unfinished(2, 0), True)
    assert await rows(commands, A) == {}
    assert [await recorded(commands, A, what) for what in ALL] == [None, b"1", None, b"1"]
    assert not await commands.exists(names.due(A, "g"))
    assert await commands.exists(names.due(A, "other"))
    found = await group(commands)
    assert (found["entries-read"], found["lag"]) == (0, 2)
    assert await taken(commands) == ids


async def test_a_group_with_nothing_or_one_pending(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    assert await manage.reset(commands, A, "g", "$", force=False) == (Unfinished(0, 3), False)
    assert await manage.reset(commands, A, "g", "$", force=True) == (Unfinished(0, 3), True)
    assert (await group(commands))["lag"] == 0
    assert await manage.reset(commands, A, "g", ids[1], force=False) == (Unfinished(0, 0), True)
    assert await taken(commands) == [ids[2]]
    assert await manage.reset(commands, A, "g", "0-0", force=False) == (Unfinished(1, 0), False)
    assert await manage.reset(commands, A, "g", ids[0], force=True) == (Unfinished(1, 0), True)
    assert await rows(commands, A) == {}
    assert await taken(commands) == ids[1:]


async def test_a_reset_that_would_skip_entries_needs_force(commands: Redis) -> None:
    ids = await fill(commands, A, manage.MOST_PASSED + 5)
    assert await manage.reset(commands, A, "g", ids[1], force=False) == (Unfinished(0, 2), False)
    assert await manage.reset(commands, A, "g", "$", force=False) == (
        Unfinished(0, manage.MOST_PASSED),
        False,
    )
    assert (await group(commands))["last-delivered-id"] == b"0-0"
    assert await manage.reset(commands, A, "g", ids[1], force=True) == (Unfinished(0, 2), True)
    assert await taken(commands) == ids[2:]


async def test_however_much_is_pending_none_of_it_is_left(commands: Redis) -> None:
    ids = await hold(commands, A, 250)
    assert await manage.reset(commands, A, "g", "$", force=True) == (Unfinished(250, 0), True)
    assert await rows(commands, A) == {}
    assert await manage.reset(commands, A, "g", "0-0", force=False) == (Unfinished(0, 0), True)
    assert await taken(commands) == ids


async def test_a_missing_group_cannot_be_changed(
    commands: Redis,
) -> None:
    await fill(commands, A, 1, group="other")
    for stream in (A, B):
        with pytest.raises(ResponseError, match="NOGROUP"):
            await manage.reset(commands, stream, "g", "0-0", force=True)
        with pytest.raises(ResponseError, match="NOGROUP"):
            await manage.remove(commands, stream, "g", force=True)
        with pytest.raises(ResponseError, match="NOGROUP"):
            await manage.pause(commands, stream, "g", paused=True)
        with pytest.raises(ResponseError, match="NOGROUP"):
            await manage.replay(commands, stream, "g", "-", "+")
        assert not await commands.exists(names.records(stream))


# Removing a group ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("take", "ack", "cut", "unfinished"),
    [
        (5, 5, None, Unfinished(0, 0)),
        (5, 4, None, Unfinished(1, 0)),
        (4, 4, None, Unfinished(0, 1)),
        (3, 1, None, Unfinished(2, 2)),
        (0, 0, 3, Unfinished(0, 3)),
        (1, 1, 3, Unfinished(0, 3)),
        (0, 0, 0, Unfinished(0, 0)),
    ],
)
async def test_a_group_is_removed_when_it_has_finished_or_by_force(
    commands: Redis, take: int, ack: int, cut: int | None, unfinished: Unfinished
) -> None:
    ids = await fill(commands, A, 5)
    await ensure_group(commands, [A], "other")
    if take:
        await taken(commands, take)
    if ack:
        await commands.xack(A, "g", *ids[:ack])
    if cut is not None:
        await commands.xtrim(A, maxlen=cut, approximate=False)
    await record(commands)
    finished = unfinished == Unfinished(0, 0)
    assert bool(unfinished) is not finished
    if not finished:
        assert await manage.remove(commands, A, "g", force=False) == (unfinished, False)
        assert await peek.groups(commands, A) == ["g", "other"]
        assert [await recorded(commands, A, what) for what in ALL] == [b"1"] * 4
        assert await commands.exists(names.due(A, "g"))
    assert await manage.remove(commands, A, "g", force=not finished) == (unfinished, True)
    assert await peek.groups(commands, A) == ["other"]
    assert [await recorded(commands, A, what) for what in ALL] == [None] * 4
    kept: Any = await commands.hkeys(names.records(A))
    assert [field for field in kept if field.endswith(b" g")] == []
    assert not await commands.exists(names.due(A, "g"), names.pending(A, "g"))
    assert await commands.exists(names.due(A, "other"))


async def test_a_group_with_unknown_lag_counts_as_unfinished(commands: Redis) -> None:
    ids = await fill(commands, A, 5, group="other")
    await manage.create(commands, A, "g", ids[2])
    assert (await group(commands))["lag"] is None
    unknown = Unfinished(0, None)
    assert unknown
    assert await manage.remove(commands, A, "g", force=False) == (unknown, False)
    assert await manage.remove(commands, A, "g", force=True) == (unknown, True)


# Replaying -------------------------------------------------------------------------------------


class Between:
    """A client that lets something happen when it has sent its first command."""

    def __init__(self, redis: Redis, then: Any) -> None:
        self._redis, self._then = redis, then

    async def execute_command(self, *words: Any) -> Any:
        answer = await cast("Any", self._redis).execute_command(*words)
        then, self._then = self._then, None
        if then is not None:
            await then()
        return answer


async def test_a_replayed_event_waits_as_if_it_was_never_delivered(commands: Redis) -> None:
    ids = await hold(commands, A, 5)
    await fill(commands, A, 2)
    await commands.xack(A, "g", ids[0], ids[1], ids[2], ids[4])
    assert await manage.replay(commands, A, "g", "-", "+") == 4
    found = await rows(commands, A)
    assert list(found) == ids
    assert found[ids[3]][:2] == ("holder", 1)
    for entry_id in (ids[0], ids[1], ids[2], ids[4]):
        consumer, deliveries, idle_ms = found[entry_id]
        assert (consumer, deliveries) == ("abe:replay", 0)
        assert idle_ms > GIVEN_BACK_MS
    again, _ = await reclaim(commands, "g", "me", [A], lease_seconds=60, count=10)
    assert sorted((entry.id, entry.deliveries) for entry in again) == [
        (entry_id, 1) for entry_id in (ids[0], ids[1], ids[2], ids[4])
    ]
    assert await manage.replay(commands, A, "g", "-", "+") == 0


async def test_a_part_is_replayed_and_however_much_it_is(commands: Redis) -> None:
    ids = await hold(commands, A, 350)
    await commands.xack(A, "g", *ids)
    assert await manage.replay(commands, A, "g", ids[300], ids[310]) == 11
    assert list(await rows(commands, A)) == ids[300:311]
    assert await manage.replay(commands, A, "g", "-", "+") == 339
    assert list(await rows(commands, A)) == ids
    assert await manage.replay(commands, A, "g", f"({ids[-1]}", "+") == 0


async def test_an_event_redriven_to_another_group_is_not_replayed(commands: Redis) -> None:
    await commands.xgroup_create(A, "g", "0", mkstream=True)
    entries: list[dict[Any, Any]] = [
        {"abe:only": "other"},
        {"data": "x", "abe:only": "other"},
        {"data": "x", "more": "y", "abe:only": "other"},
        {"data": "x", "abe:only": "g"},
        {"data": "abe:only", "x": "other"},
        {"abe:only": "g", "data": "x"},
    ]
    added: list[Any] = [await commands.xadd(A, fields) for fields in entries]
    ids = [entry_id.decode() for entry_id in added]
    await taken(commands)
    await commands.xack(A, "g", *ids)
    assert await manage.replay(commands, A, "g", "-", "+") == 3
    assert list(await rows(commands, A)) == ids[3:]


async def test_an_event_delivered_meanwhile_is_not_replayed(commands: Redis) -> None:
    ids = await hold(commands, A, 150)
    later = await fill(commands, A, 5)
    await commands.xack(A, "g", *ids)

    async def go_on() -> None:
        assert await taken(commands) == later
        await commands.xack(A, "g", *later)

    assert await manage.replay(cast("Redis", Between(commands, go_on)), A, "g", "-", "+") == 150
    assert list(await rows(commands, A)) == ids


async def test_events_that_a_group_moved_back_meanwhile_gets_again_are_not_replayed(commands: Redis) -> None:
    ids = await hold(commands, A, 150)
    await commands.xack(A, "g", *ids)

    async def move_back() -> None:
        await commands.xgroup_setid(A, "g", ids[119])

    assert await manage.replay(cast("Redis", Between(commands, move_back)), A, "g", "-", "+") == 120
    assert list(await rows(commands, A)) == ids[:120]


# Pausing ---------------------------------------------------------------------------------------


async def test_a_group_is_paused_once_and_goes_on_once(commands: Redis) -> None:
    await fill(commands, A, 1)
    assert not await manage.is_paused(commands, A, "g")
    for paused in (True, False):
        await commands.delete(names.INDEX)
        assert await manage.pause(commands, A, "g", paused=paused) is True
        now = await now_ms(commands) / 1000
        assert abs((await commands.zscore(names.INDEX, A) or 0) - now) < 60
        since = await recorded(commands, A, "paused")
        assert abs(int(await recorded(commands, A, "paused" if paused else "used")) - now) < 60
        assert await manage.pause(commands, A, "g", paused=paused) is False
        assert await recorded(commands, A, "paused") == since
        assert await manage.is_paused(commands, A, "g") is paused
        assert not await manage.is_paused(commands, A, "another")


# Consumers that are gone -----------------------------------------------------------------------


async def test_a_silent_consumer_that_holds_nothing_is_removed(commands: Redis) -> None:
    for stream in (A, B):
        await hold(commands, stream, 2, by="busy")
        for name in ("gone", "name", "pending"):
            await commands.xgroup_createconsumer(stream, "g", name)
    everybody = {"busy", "gone", "name", "pending"}
    await anyio.sleep(0.4)
    assert await forget_gone(commands, "g", [A, C, B], idle_seconds=100) == 0
    assert await consumers(commands, A) == everybody
    assert await forget_gone(commands, "g", [A, C], idle_seconds=0.3) == 3
    assert await consumers(commands, A) == {"busy"}
    assert await consumers(commands, B) == everybody
    assert abs(int(await recorded(commands, A, "used")) - await now_ms(commands) / 1000) < 60
    assert await recorded(commands, B, "used") is None
    assert await forget_gone(commands, "g", [C, B, A], idle_seconds=0) == 3
    assert await forget_gone(commands, "another", [A], idle_seconds=0) == 0
    assert await forget_gone(commands, "g", [], idle_seconds=0) == 0
    await commands.xack(A, "g", next(iter(await rows(commands, A))))
    assert await forget_gone(commands, "g", [A], idle_seconds=0) == 0, "it holds one still"


@pytest.mark.parametrize("by_somebody", [False, True])
async def test_a_consumer_that_slept_until_it_was_forgotten_takes_back_nothing_that_others_finished(
    commands: Redis, by_somebody: bool
) -> None:
    """But what somebody dropped who removed the consumer is put back."""
    ids: Any = await hold(commands, A, 2, by="asleep")
    if by_somebody:
        await commands.xgroup_delconsumer(A, "g", "asleep")
    else:
        await commands.xclaim(A, "g", "awake", 0, [*ids])
        await commands.xack(A, "g", *ids)
        await forget_gone(commands, "g", [A], idle_seconds=0)
    claims = [renewal.Claim(A, entry_id, begun=1, sure=False) for entry_id in ids]
    expected = "dropped" if by_somebody else "unknown"
    assert await renewal.hold(commands, "g", "asleep", claims) == [expected] * 2
    for entry_id in ids:
        assert await release.postpone(commands, A, "g", "asleep", entry_id, delay_seconds=1) is by_somebody


async def test_a_forgotten_consumer_is_on_record_until_it_comes_back(commands: Redis) -> None:
    async def noted() -> list[bytes]:
        lines = await recorded(commands, A, "forgotten") or b""
        return [line.split()[1] for line in lines.splitlines()]

    await hold(commands, A, 1, by="busy")
    for name in ("first", "second"):
        await commands.xgroup_createconsumer(A, "g", name)
        await anyio.sleep(0.01)
        assert await forget_gone(commands, "g", [A], idle_seconds=0) == 1
    assert await noted() == [b"first", b"second"]
    await commands.xgroup_createconsumer(A, "g", "first")
    assert await forget_gone(commands, "g", [A], idle_seconds=100) == 0
    assert await noted() == [b"second"]
    for number in range(1100):
        await commands.xgroup_createconsumer(A, "g", f"many{number}")
    await anyio.sleep(0.01)
    await forget_gone(commands, "g", [A], idle_seconds=0)
    assert len(await noted()) <= 1101
    await forget_gone(commands, "g", [A], idle_seconds=0)
    assert len(await noted()) <= 1000


# Erasing ---------------------------------------------------------------------------------------


async def test_an_erased_event_is_counted_once_whoever_had_it(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    for name in ("none", "all"):
        await manage.create(commands, A, name, "0-0")
    await taken(commands, 3)
    await commands.xreadgroup("all", "me", {A: ">"})
    await commands.xack(A, "g", ids[0])
    await commands.xack(A, "all", *ids)
    assert await erase(commands, A, [ids[0], ids[1], ids[4], "1-1"]) == (3, 3)
    assert await erase(commands, A, [ids[1]]) == (0, 0)
    assert list(await rows(commands, A)) == [ids[2]]
    assert await taken(commands) == [ids[3], ids[5]]
    await commands.xack(A, "g", ids[2], ids[3], ids[5])
    await manage.remove(commands, A, "none", force=True)
    assert await erase(commands, A, ids) == (3, 0)


async def test_a_group_is_moved_over_what_was_erased_in_front_of_it(commands: Redis) -> None:
    ids = await fill(commands, A, 8)
    await taken(commands, 2)
    assert await erase(commands, A, ids[2:4]) == (2, 2)
    found = await group(commands)
    before_next = found["last-delivered-id"].decode()
    assert found["entries-read"] == 4
    assert order(ids[3]) <= order(before_next) < order(ids[4])
    assert await erase(commands, A, [ids[5]]) == (1, 1)
    found = await group(commands)
    assert (found["entries-read"], found["last-delivered-id"].decode()) == (5, before_next)
    assert await erase(commands, A, [ids[4], ids[6], ids[7]]) == (3, 3)
    found = await group(commands)
    assert (found["entries-read"], found["lag"], found["last-delivered-id"].decode()) == (8, 0, ids[7])


async def test_a_group_stays_where_it_is_when_the_gap_is_further_on(commands: Redis) -> None:
    for number in range(1, 6):
        await commands.xadd(A, {"data": "x"}, id=f"{number * 10}-0")
    await commands.xgroup_create(A, "g", "0")
    await taken(commands, 1)
    assert await erase(commands, A, ["40-0"]) == (1, 1)
    found = await group(commands)
    assert (found["last-delivered-id"], found["entries-read"]) == (b"10-0", 2)
    assert await erase(commands, A, ["20-0"]) == (1, 1)
    found = await group(commands)
    assert (found["last-delivered-id"], found["entries-read"]) == (b"29-18446744073709551615", 3)


# Looking ---------------------------------------------------------------------------------------


async def test_entries_are_shown_from_either_end(commands: Redis) -> None:
    ids = await fill(commands, A, 5)

    async def shown(end: peek.Order, after: str | None, count: int = 9) -> list[str]:
        return [one.id for one in await peek.entries(commands, A, after=after, count=count, order=end)]

    assert await shown("oldest", None) == ids
    assert await shown("newest", None) == ids[::-1]
    assert await shown("oldest", ids[1], 2) == ids[2:4]
    assert await shown("newest", ids[3], 2) == [ids[2], ids[1]]
    assert await shown("oldest", "0-0") == ids
    assert await shown("newest", "0-0") == []
    (first, *_) = await peek.entries(commands, A, after=None, count=1, order="oldest")
    assert first.fields == {b"data": f"{A} 0".encode()}
    assert await peek.kind(commands, A) == "stream"
    assert await peek.kind(commands, B) == "none"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
async def test_all_entries_in_pages(commands: Redis, size: int) -> None:
    ids = await fill(commands, A, 4)
    found = [[one.id for one in page] async for page in peek.pages(commands, A, size=size)]
    assert [entry_id for page in found for entry_id in page] == ids
    assert all(0 < len(page) <= size for page in found)
    assert [page async for page in peek.pages(commands, B, size=size)] == []


async def test_a_wait_returns_entries_or_times_out_empty(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    found = await peek.wait(commands, A, after=ids[0], count=9, seconds=30)
    assert [one.id for one in found] == ids[1:]
    assert found[0].fields == {b"data": f"{A} 1".encode()}
    assert [one.id for one in await peek.wait(commands, A, after="0-0", count=1, seconds=30)] == ids[:1]
    began = anyio.current_time()
    assert await peek.wait(commands, A, after="$", count=9, seconds=0.3) == []
    assert anyio.current_time() - began >= 0.29
    with anyio.fail_after(PATIENCE):
        assert await peek.wait(commands, A, after="$", count=9, seconds=0) == []


async def test_pending_entries_are_shown_with_their_holders(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    await hold(commands, A, 1, by="other")
    await release.release(commands, "g", "holder", [A], {(A, ids[1]): 0}, everything=False)
    await release.postpone(commands, A, "g", "holder", ids[2], delay_seconds=600)
    await commands.xdel(A, ids[3])
    await anyio.sleep(0.1)
    found = await peek.pending(commands, A, "g", after=None, count=9, consumer=None)
    assert [(one.id, one.consumer, one.deliveries) for one in found][:1] == [(ids[0], "holder", 1)]
    assert [one.consumer for one in found] == ["holder", "abe:nobody", "holder", "holder", "other"]
    assert [one.fields for one in found][:4] == [
        {b"data": f"{A} {number}".encode()} if number < 3 else None for number in range(4)
    ]
    idle = found[0].idle_seconds
    assert idle is not None
    assert 0.1 <= idle < 60
    assert found[1].idle_seconds is None
    due = found[2].due_at
    assert due is not None
    assert abs(due.timestamp() - await now_ms(commands) / 1000 - 600) < 60
    assert [one.due_at for one in found if one.id != ids[2]] == [None] * 4
    later = await peek.pending(commands, A, "g", after=ids[1], count=2, consumer=None)
    assert [one.id for one in later] == ids[2:4]
    theirs = await peek.pending(commands, A, "g", after=None, count=9, consumer="other")
    assert [one.consumer for one in theirs] == ["other"]
    assert await peek.pending(commands, A, "g", after=None, count=9, consumer="nobody") == []
    with pytest.raises(ResponseError, match="NOGROUP"):
        await peek.pending(commands, A, "another", after=None, count=9, consumer=None)
    await commands.set(names.held(A, "g"), "mine")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await peek.pending(commands, A, "g", after=None, count=9, consumer=None)


# Numbers ---------------------------------------------------------------------------------------


async def stats(redis: Redis, *, ages: bool = False, lease_seconds: float = 60) -> StreamStats:
    settings = Settings(redis_stream_lease_seconds=lease_seconds)
    found = await (stream_stats(redis, A, settings, ages=True) if ages else stream_stats(redis, A, settings))
    assert found is not None
    return found


async def the_group(redis: Redis, *, ages: bool = False, lease_seconds: float = 60) -> GroupStats:
    (found,) = (await stats(redis, ages=ages, lease_seconds=lease_seconds)).groups
    return found


async def test_a_stream_in_numbers(commands: Redis) -> None:
    ids = ["1767225600000-0", "1767225601500-0", "1767225602000-0"]
    for entry_id in ids:
        await commands.xadd(A, {"data": "x"}, id=entry_id)
    await commands.xadd(names.dead_letters(A), {"data": "x"})
    await commands.xtrim(A, maxlen=2, approximate=False)
    found = await stats(commands)
    assert (found.stream, found.length, found.added, found.dead_letters) == (A, 2, 3, 1)
    assert found.first_at == datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert found.last_at == datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert found.memory_bytes is not None
    assert found.memory_bytes > 0
    assert found.health == "unread"
    await commands.xtrim(A, maxlen=0, approximate=False)
    found = await stats(commands)
    assert (found.length, found.first_at, found.last_at) == (0, None, None)


async def test_how_old_is_what_a_group_has_to_do(commands: Redis) -> None:
    now = int(await now_ms(commands))
    ages = (7_000, 5_400, 900, 800, 90, 15)
    for age in ages:
        await commands.xadd(A, {"data": "x"}, id=f"{now - age * 1000}-1")
    for sequence in range(2):
        await commands.xadd(A, {"data": "x"}, id=f"{now + 100_000}-{sequence}")
    await commands.xgroup_create(A, "g", "0")
    found = await the_group(commands, ages=True)
    assert (found.name, found.pending, found.lag, found.lost, found.pending_by_age) == ("g", 0, 8, 0, {})
    assert (found.oldest_pending_seconds, found.last_delivered_id) == (None, "0-0")
    oldest = found.oldest_undelivered_seconds
    assert oldest is not None
    assert 7_000 <= oldest < 7_060
    taken_ids = await taken(commands, 7)
    found = await the_group(commands, ages=True)
    assert found.pending_by_age == {"under_10s": 1, "under_1m": 1, "under_10m": 1, "under_1h": 2, "older": 2}
    assert (found.pending, found.lag, found.last_delivered_id) == (7, 1, taken_ids[-1])
    assert found.oldest_undelivered_seconds == 0
    assert found.oldest_pending_seconds is not None
    assert 7_000 <= found.oldest_pending_seconds < 7_060
    await taken(commands)
    found = await the_group(commands)
    assert (found.pending, found.lag, found.oldest_undelivered_seconds) == (8, 0, None)
    assert found.pending_by_age == {}


async def test_stats_say_who_reads_a_group_and_since_when_nobody_does(commands: Redis) -> None:
    await fill(commands, A, 2)
    assert (await the_group(commands)).unused_seconds is None
    now = int(await now_ms(commands)) // 1000
    for used in (now - 500, now + 500):
        await commands.hset(names.records(A), "used g", str(used))
        unused = (await the_group(commands)).unused_seconds
        assert unused is not None
        assert (500 <= unused < 560) if used < now else unused == 0
    await commands.hset(names.records(A), "used g", str(now - 500))
    await taken(commands, 1)
    await commands.xgroup_createconsumer(A, "g", "other")
    await anyio.sleep(0.5)
    found = await the_group(commands)
    assert found.unused_seconds is not None
    assert 0.5 <= found.unused_seconds < 60
    one, other = sorted(found.consumers, key=lambda consumer: consumer.name)
    assert [(of.name, of.pending, of.alive) for of in (one, other)] == [("me", 1, True), ("other", 0, True)]
    assert 0.5 <= one.idle_seconds < 60
    found = await the_group(commands, lease_seconds=0.5)
    assert [consumer.alive for consumer in found.consumers] == [False, False]


async def test_a_pause_and_losses_are_in_the_numbers(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    await taken(commands, 1)
    await commands.hset(names.records(A), "lost g", "4")
    found = await the_group(commands)
    assert (found.lag, found.lost, found.paused) == (5, 4, False)
    await manage.pause(commands, A, "g", paused=True)
    await commands.xtrim(A, minid=ids[3], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost, found.paused) == (3, 6, True)
    await commands.xtrim(A, maxlen=0, approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (0, 9)


async def test_a_group_that_has_read_the_first_entry_has_lost_nothing(commands: Redis) -> None:
    ids = await fill(commands, A, 6)
    await taken(commands, 3)
    await commands.xtrim(A, minid=ids[2], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (3, 0)
    await commands.xtrim(A, minid=ids[3], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (3, 0)


async def test_of_a_group_whose_place_is_not_known_no_loss_is_guessed(commands: Redis) -> None:
    ids = await fill(commands, A, 6, group="other")
    await manage.create(commands, A, "g", ids[2])
    await commands.xgroup_destroy(A, "other")
    await commands.xtrim(A, minid=ids[4], approximate=False)
    found = await the_group(commands)
    assert (found.lag, found.lost) == (2, 0)

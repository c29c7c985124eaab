"""Groups as people make, move, remove, replay and pause them."""

from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import manage, names, peek
from abe_redis.streams.groups import ensure_group, record_progress
from abe_redis.streams.hold_times import GIVEN_BACK_MS
from abe_redis.streams.manage import Unfinished
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, B, fill, group, hold, now_ms, recorded, rows, taken

ALL = ("floor", "used", "lost", "paused")


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def record(redis: Redis) -> None:
    """All that may be recorded about the group, and something about another."""
    for name in ("g", "other"):
        for what in ALL:
            await redis.hset(names.records(A), f"{what} {name}", "1")
        await redis.zadd(names.due(A, name), {"1-0": 1})


# Making a group --------------------------------------------------------------------------------


async def test_a_group_is_made_behind_what_was_asked_for(commands: Redis) -> None:
    ids = await fill(commands, A, 5, group="filler")
    await commands.xtrim(A, maxlen=3, approximate=False)
    positions = {"first": "0-0", "last": "$", "on": ids[2], "within": ids[3]}
    for name, position in positions.items():
        await manage.create(commands, A, name, position)
    found = {name: await group(commands, name) for name in positions}
    assert {name: of["entries-read"] for name, of in found.items()} == {
        "first": 2, "last": 5, "on": 3, "within": 4,
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
    (last,) = await fill(commands, A, 1, group="filler")
    await record(commands)
    await commands.hset(names.records(A), "floor g", f"{last} 1 0")
    await manage.create(commands, A, "g", "0-0")
    assert await recorded(commands, A, "floor") == b"0-0 1 1", "where it begins"
    assert [await recorded(commands, A, what) for what in ("lost", "paused")] == [None] * 2
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
    assert [await recorded(commands, A, what) for what in ALL] == [b"0-0 2 2", b"1", None, b"1"]
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
    ids = await fill(commands, A, 105)
    assert await manage.reset(commands, A, "g", ids[1], force=False) == (Unfinished(0, 2), False)
    assert await manage.reset(commands, A, "g", "$", force=False) == (Unfinished(0, 105), False)
    for dry_run in (False, True):
        found = await manage.reset(commands, A, "g", "$", force=False, dry_run=dry_run)
        assert found == (Unfinished(0, 105), False)
    assert await manage.reset(commands, A, "g", "$", force=True, dry_run=True) == (Unfinished(0, 105), True)
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
    await commands.xgroup_create(A, "g", ids[2])
    assert (await group(commands))["lag"] is None
    counted = Unfinished(0, 2)
    assert counted
    assert await manage.remove(commands, A, "g", force=False) == (counted, False)
    assert await manage.remove(commands, A, "g", force=True) == (counted, True)


# Replaying -------------------------------------------------------------------------------------


class Between:
    """A client that lets something happen when it has sent its first command, after that for its turn."""

    def __init__(self, redis: Redis, then: Any) -> None:
        self._redis, self._then, self._count = redis, then, 0

    async def execute_command(self, *words: Any) -> Any:
        answer = await cast("Any", self._redis).execute_command(*words)
        self._count += 1
        if self._count == 2:
            await self._then()
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


async def test_a_redriven_event_is_replayed_once(commands: Redis) -> None:
    ids = await hold(commands, A, 150)
    copies: list[Any] = [
        await commands.xadd(A, {"data": "x", "abe:only": "g", "abe:first": first})
        for first in (ids[3], ids[140], "1-1", "no id")
    ]
    redriven = [copy.decode() for copy in copies]
    await taken(commands)
    await commands.xack(A, "g", *ids, *redriven)
    assert await manage.replay(commands, A, "g", ids[4], "+") == 146 + 3, (
        "but for the one whose first is there"
    )
    assert list(await rows(commands, A)) == [*ids[4:], redriven[0], *redriven[2:]]
    await commands.xack(A, "g", *ids, *redriven)
    assert await manage.replay(commands, A, "g", "-", "+") == 150 + 2


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
        assert await manage.pause(commands, A, "g", paused=paused) is True
        now = await now_ms(commands) / 1000
        since = await recorded(commands, A, "paused")
        assert abs(int(await recorded(commands, A, "paused" if paused else "used")) - now) < 60
        assert await manage.pause(commands, A, "g", paused=paused) is False
        assert await recorded(commands, A, "paused") == since
        assert await manage.is_paused(commands, A, "g") is paused
        assert not await manage.is_paused(commands, A, "another")


async def test_who_came_since_the_last_list_is_told_too_when_a_destroyed_group_is_made_anew(
    commands: Redis,
) -> None:
    await hold(commands, A, 2, by="listed")
    await record_progress(commands, [A], "g")
    (after,) = await hold(commands, A, 1, by="late")
    lease = f"30000 {await now_ms(commands):.0f}"
    await commands.hset(names.leases(A, "g"), mapping={"late": lease, "gone for long": "30000 1"})
    await commands.xgroup_destroy(A, "g")
    _, is_made = await manage.create(commands, A, "g", "$", force=True)
    assert is_made
    told = (await recorded(commands, A, "taken")).decode().splitlines()
    assert {line.split()[2] for line in told} == {"listed", "late"}
    assert {line.split()[1] for line in told} == {f"<={after}"}

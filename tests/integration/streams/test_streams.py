"""What each function on streams promises by its signature, whoever calls it; most of them are one script."""

import json
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.schemas import MAX_DELAY_SECONDS
from abe_redis.streams import acks, dead, lease, names, owners, release, renewal, seen
from abe_redis.streams.lease import Portion
from abe_redis.streams.publish import Draft, announce, command, publish, publish_health_check
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import (
    LONG_MS,
    A,
    B,
    C,
    briefly,
    consumers,
    entries,
    fill,
    hold,
    let_lapse,
    now_ms,
    recorded,
    rows,
)
from tests.servers import Server

# What is new ------------------------------------------------------------------------------------


async def test_streams_are_read_by_turns_up_to_their_portions(commands: Redis) -> None:
    a, b = await fill(commands, A, 3), await fill(commands, B, 2)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 2, ""), Portion(B, 5, "")], most=10)
    assert briefly(taken.leased) == [(A, a[0], 1), (B, b[0], 1), (A, a[1], 1), (B, b[1], 1)]
    assert taken.leased[0].fields == {b"data": f"{A} 0".encode()}
    assert (taken.looked_at, taken.more, taken.lost) == ([A, B], {A}, {})
    assert taken.failure is None
    assert {row[:2] for row in (await rows(commands, A)).values()} == {("me", 0)}, "no handler has begun"
    assert list(await rows(commands, B)) == b


@pytest.mark.one_server
async def test_no_more_is_read_than_was_asked_for(commands: Redis) -> None:
    for stream, count in ((A, 2), (B, 5), (C, 5)):
        await fill(commands, stream, count)
    portions = [Portion(stream, 5, "") for stream in (A, B, C)]
    taken = await lease.take_more(commands, "g", "me", portions, most=3)
    assert [entry.stream for entry in taken.leased] == [A, B, A]
    assert (taken.looked_at, taken.more) == ([A, B], {B})  # which was cut short
    taken = await lease.take_more(commands, "g", "me", portions, most=3)
    assert [entry.stream for entry in taken.leased] == [B, B, B]
    assert (taken.looked_at, taken.more) == ([A, B], {B})
    taken = await lease.take_more(commands, "g", "me", portions[:2], most=3)
    assert [entry.stream for entry in taken.leased] == [B]
    assert (taken.looked_at, taken.more) == ([A, B], set())


async def test_fields_keep_their_names_and_values(commands: Redis) -> None:
    await fill(commands, A, 0)
    fields: list[dict[Any, Any]] = [{"data": "1"}, {"data": "1", "more": "2"}, {"x": "1", "y": "2", "z": "3"}]
    for each in fields:
        await commands.xadd(A, each)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 9, "")], most=9)
    expected = [{name.encode(): value.encode() for name, value in each.items()} for each in fields]
    assert [entry.fields for entry in taken.leased] == expected


async def test_an_owner_reads_only_what_is_its_own_and_known(commands: Redis) -> None:
    streams = [f"{{t}}{number}" for number in range(6)]
    ids = {stream: await fill(commands, stream, 2) for stream in streams}
    for stream, owner in zip(streams, ["me", "me", "me", "other", "other", ""], strict=True):
        if owner:
            await commands.set(names.owner(stream, "g"), owner)
    for stream in streams[1:3]:  # somebody was given the first of these
        await lease.take_new(commands, "g", "x", [stream], count=1, block_ms=None)
    me = owners.Owner(group="g", consumer="me", token="me", lease_seconds=30)
    portions = [Portion(stream, 5, "0-0") for stream in streams]
    found = await owners.take_owned(commands, me, portions, most=50)
    assert briefly(found.taken.leased) == [(streams[0], entry_id, 1) for entry_id in ids[streams[0]]]
    assert found.behind == set(streams[1:3])
    assert found.disowned == set(streams[3:])
    assert found.taken.looked_at == streams
    for stream in streams[1:3]:
        portions = [Portion(stream, 5, ids[stream][0])]
        found = await owners.take_owned(commands, me, portions, most=50)
        assert briefly(found.taken.leased) == [(stream, ids[stream][1], 1)]


async def test_entries_removed_unread_are_counted_once(commands: Redis) -> None:
    last, portions = {}, []
    for stream, removed in ((A, 2), (B, 3), (C, 0)):
        ids = await fill(commands, stream, 5)
        await lease.take_new(commands, "g", "me", [stream], count=1, block_ms=None)
        last[stream] = ids[0]
        if removed:
            await commands.xtrim(stream, minid=ids[removed + 1], approximate=False)
        portions.append(Portion(stream, 1, ids[0]))
    taken = await lease.take_more(commands, "g", "me", portions, most=50)
    assert taken.lost == {A: 2, B: 3}
    assert len(taken.leased) == 3
    assert (await recorded(commands, A, "lost"), await recorded(commands, C, "lost")) == (b"2", None)
    taken = await lease.take_more(commands, "g", "me", portions, most=50)
    assert taken.lost == {}
    assert [entry.stream for entry in taken.leased] == [A, C]
    assert await recorded(commands, B, "lost") == b"3"


async def test_one_that_was_removed_unread_is_counted_too(commands: Redis) -> None:
    ids = await hold(commands, A, 1, by="me")
    await fill(commands, A, 3)
    await commands.xtrim(A, maxlen=2, approximate=False)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 5, ids[0])], most=50)
    assert (taken.lost, len(taken.leased)) == ({A: 1}, 2)


async def test_nothing_is_lost_by_a_group_that_is_gone(commands: Redis) -> None:
    await commands.xadd(A, {"data": "no group"})
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 5, "1-1")], most=50)
    assert (taken.lost, taken.leased) == ({}, [])
    assert taken.failure is not None


@pytest.mark.one_server
async def test_take_more_leases_no_more_than_asked(commands: Redis) -> None:
    for stream in (A, B):
        await fill(commands, stream, 2)
    taken = await lease.take_more(commands, "g", "me", [Portion(A, 5, ""), Portion(B, 5, "")], most=1)
    assert len(taken.leased) == 1


async def test_a_stream_that_is_not_what_it_was_ends_the_reading(commands: Redis) -> None:
    ids = await fill(commands, A, 1)
    await commands.xadd(B, {"data": "no group"})
    await fill(commands, C, 1)
    taken = await lease.take_more(commands, "g", "me", [Portion(one, 5, "") for one in (A, B, C)], most=50)
    assert briefly(taken.leased) == [(A, ids[0], 1)]
    assert taken.looked_at == [A]
    assert isinstance(taken.failure, ResponseError)
    assert "NOGROUP" in str(taken.failure)


async def test_a_read_that_may_wait_takes_so_many_of_each(commands: Redis) -> None:
    a, b = await fill(commands, A, 3), await fill(commands, B, 1)
    leased = await lease.take_new(commands, "g", "me", [A, B], count=2, block_ms=None)
    assert briefly(leased) == [(A, a[0], 1), (B, b[0], 1), (A, a[1], 1)]
    leased = await lease.take_new(commands, "g", "me", [A, B], count=2, block_ms=1)
    assert briefly(leased) == [(A, a[2], 1)]
    assert await lease.take_new(commands, "g", "me", [A, B], count=2, block_ms=1) == []


# What has no holder any more --------------------------------------------------------------------


async def abandoned(
    redis: Redis, *streams: str, count: int = 1, fresh: int | None = None, seconds: float = 50
) -> tuple[list[tuple[str, str, int]], dict[str, int]]:
    leased, lost = await reclaim(
        redis, "g", "me", list(streams), lease_seconds=seconds, count=count, fresh=fresh
    )
    return briefly(leased), dict(lost)


async def test_only_what_has_no_lease_any_more_is_taken(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    assert await abandoned(commands, A, count=5) == ([], {})
    await let_lapse(commands, A, ids[1:2], deliveries=3)
    assert await abandoned(commands, A, count=5, seconds=LONG_MS / 1000 + 60) == ([], {})
    assert await abandoned(commands, A, count=5) == ([(A, ids[1], 4)], {})
    found = await rows(commands, A)
    assert found[ids[1]][:2] == ("me", 4)
    assert found[ids[1]][2] < LONG_MS / 2
    assert found[ids[0]][:2] == ("holder", 1)
    assert await abandoned(commands, A, count=5) == ([], {})


@pytest.mark.parametrize(
    ("deliveries", "count", "fresh", "expected"),
    [
        ([0, 0, 0, 1, 0], 1, 5, 3),  # a suspect ends the row of those that were never handed out
        ([1, 0, 0], 1, 5, 1),  # and a suspect that comes first comes alone
        ([1, 1, 1, 1], 2, 5, 2),
        ([0, 1, 1, 1], 3, 9, 3),
        ([0, 0, 0, 0, 0], 1, 3, 3),
        ([0, 0, 0], 1, None, 1),
        ([1, 1, 1], 5, 5, 3),
        ([0, 1, 0], 1, 2, 1),
    ],
)
async def test_a_redelivered_event_is_leased_with_few_others(
    commands: Redis, deliveries: list[int], count: int, fresh: int | None, expected: int
) -> None:
    ids = await hold(commands, A, len(deliveries))
    for entry_id, number in zip(ids, deliveries, strict=True):
        await let_lapse(commands, A, [entry_id], deliveries=number)
    taken, _ = await abandoned(commands, A, count=count, fresh=fresh)
    assert taken == [(A, ids[at], deliveries[at] + 1) for at in range(expected)]
    held = {entry_id for entry_id, row in (await rows(commands, A)).items() if row[0] == "me"}
    assert held == set(ids[:expected])


async def test_one_command_takes_a_hundred_so_that_it_holds_the_server_up_for_moments(
    commands: Redis,
) -> None:
    ids = await hold(commands, A, 120)
    await let_lapse(commands, A, ids, deliveries=0)
    taken, _ = await abandoned(commands, A, count=1, fresh=256)
    assert taken == [(A, entry_id, 1) for entry_id in ids[:100]]
    taken, _ = await abandoned(commands, A, count=1, fresh=256)
    assert taken == [(A, entry_id, 1) for entry_id in ids[100:]]


async def test_streams_are_taken_from_until_it_is_enough(commands: Redis) -> None:
    a, b = await hold(commands, A, 2), await hold(commands, B, 2)
    await commands.xgroup_create(C, "another", mkstream=True)
    for stream, ids in ((A, a), (B, b)):
        await let_lapse(commands, stream, ids, deliveries=0)
    taken, _ = await abandoned(commands, "{t}none", C, A, B, count=1, fresh=3)
    assert taken == [(A, a[0], 1), (A, a[1], 1), (B, b[0], 1)]
    assert await abandoned(commands, A, B, count=1, fresh=3) == ([(B, b[1], 1)], {})


async def test_an_entry_removed_while_it_is_held_counts_as_lost(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    other = await hold(commands, B, 1)
    await let_lapse(commands, A, ids, deliveries=1)
    await let_lapse(commands, B, other, deliveries=1)
    await commands.xdel(A, *ids[:3])
    await commands.xdel(B, *other)
    taken, lost = await abandoned(commands, A, B, count=5)
    assert (taken, lost) == ([(A, ids[3], 2)], {A: 3, B: 1})
    assert list(await rows(commands, A)) == [ids[3]]
    assert (await recorded(commands, A, "lost"), await recorded(commands, B, "lost")) == (b"3", b"1")
    assert await abandoned(commands, A, B, count=5) == ([], {})


async def test_a_postponed_event_waits_for_its_time(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    for entry_id in ids[:3]:
        assert await release.postpone(commands, A, "g", "holder", entry_id, delay_seconds=60)
    await let_lapse(commands, A, ids, deliveries=1)
    taken, _ = await abandoned(commands, A, count=1)  # not one of those that stand before it
    assert taken == [(A, ids[3], 2)]
    found = await rows(commands, A)
    assert [found[entry_id][:2] for entry_id in ids[:3]] == [("abe:postponed", 1)] * 3
    assert max(found[entry_id][2] for entry_id in ids[:3]) < LONG_MS / 2  # dated anew
    assert await commands.zcard(names.due(A, "g")) == 3


async def test_due_events_are_taken_first_with_any_lease(commands: Redis) -> None:
    ids = await hold(commands, A, 4)
    due = names.due(A, "g")
    await let_lapse(commands, A, ids[:1], deliveries=1)
    await commands.zadd(due, {ids[1]: 1000, ids[2]: 2000, ids[3]: 3000, "1-1": 500})
    assert await abandoned(commands, A, count=1) == ([(A, ids[0], 2)], {})  # nobody holds 1-1
    assert await commands.zrange(due, 0, -1) == [entry_id.encode() for entry_id in ids[1:]]
    await let_lapse(commands, A, ids[:1], deliveries=1)
    assert await abandoned(commands, A, count=2) == ([(A, ids[1], 2), (A, ids[2], 2)], {})
    assert await commands.zrange(due, 0, -1) == [ids[3].encode()]
    assert await abandoned(commands, A, count=9) == ([(A, ids[3], 2), (A, ids[0], 2)], {})
    assert not await commands.exists(due)


async def test_the_only_one_that_is_postponed_waits(commands: Redis) -> None:
    ids = await hold(commands, A, 1)
    assert await release.postpone(commands, A, "g", "holder", ids[0], delay_seconds=60)
    await let_lapse(commands, A, ids, deliveries=1)
    assert await abandoned(commands, A, count=9) == ([], {})


async def test_it_is_due_to_the_millisecond(commands: Redis) -> None:
    """Whether the second has just begun or is nearly over."""
    ids = await hold(commands, A, 2)
    for part in (0.1, 0.7):
        while not part <= (await now_ms(commands)) % 1000 / 1000 <= part + 0.2:
            await anyio.sleep(0.01)
        now = await now_ms(commands)
        await commands.zadd(names.due(A, "g"), {ids[0]: int(now) - 5, ids[1]: int(now) + 20_000})
        taken, _ = await abandoned(commands, A, count=9)
        assert [entry_id for _, entry_id, _ in taken] == [ids[0]]


async def test_a_lease_is_as_long_as_is_said(commands: Redis) -> None:
    ids = await hold(commands, A, 2)
    await commands.xclaim(A, "g", "holder", 0, [ids[0]], idle=61_000, justid=True)
    await commands.xclaim(A, "g", "holder", 0, [ids[1]], idle=40_000, justid=True)
    taken, _ = await abandoned(commands, A, count=9, seconds=60)
    assert [entry_id for _, entry_id, _ in taken] == [ids[0]]


async def test_due_events_beyond_the_limit_stay_due(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    due = names.due(A, "g")
    await commands.zadd(due, dict.fromkeys(ids, 1000))
    assert await abandoned(commands, A, count=1) == ([(A, ids[0], 2)], {})
    assert await commands.zcard(due) == 2
    assert await abandoned(commands, A, count=1, fresh=9) == ([(A, ids[1], 2)], {})
    assert await commands.zrange(due, 0, -1) == [ids[2].encode()]


# What is held -----------------------------------------------------------------------------------


@pytest.mark.promise("every command that acks, renews or gives back an entry first checks who holds it.")
@pytest.mark.parametrize("how", ["renew", "ack"])
async def test_each_entry_has_its_own_outcome(commands: Redis, how: str) -> None:
    a, b = await hold(commands, A, 3, by="me"), await hold(commands, B, 2, by="me")
    await commands.xclaim(A, "g", "other", 0, [a[1]], justid=True)
    await let_lapse(commands, A, [a[0], a[2]], deliveries=2, by="me")
    await let_lapse(commands, B, b, deliveries=2, by="me")
    entries = [(B, b[1]), (A, a[0]), (A, a[1]), (C, "1-1"), (B, b[0]), (A, "1-1"), (A, a[2])]
    act = renewal.whose if how == "renew" else acks.ack
    outcomes = await act(commands, "g", "me", entries)
    assert outcomes == ["done", "done", "not_held", "unknown", "done", "unknown", "done"]
    left = await rows(commands, A)
    assert left.pop(a[1])[:2] == ("other", 1)
    ours = [*left.values(), *(await rows(commands, B)).values()]
    if how == "ack":
        assert ours == []
    else:
        assert [row[:2] for row in ours] == [("me", 2)] * 4
        assert max(row[2] for row in ours) < LONG_MS / 2
        assert await renewal.renew(commands, "g", "me", entries) == {(A, a[1]), (C, "1-1"), (A, "1-1")}


async def test_an_empty_request_sends_no_command(commands: Redis) -> None:
    assert await acks.ack(commands, "g", "me", []) == []
    assert await renewal.renew(commands, "g", "me", []) == set()


# Giving back ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "expected"), [(0.5, 0.5), (5, 5), (10**9, MAX_DELAY_SECONDS), (0.001, 0.001)]
)
async def test_postponed_until_then(commands: Redis, delay: float, expected: float) -> None:
    (entry_id,) = await hold(commands, A, 1, by="me")
    await let_lapse(commands, A, [entry_id], deliveries=3, by="me")
    began = await now_ms(commands)
    assert await release.postpone(commands, A, "g", "me", entry_id, delay_seconds=delay)
    ended = await now_ms(commands)
    due = names.due(A, "g")
    score: Any = await commands.zscore(due, entry_id)
    assert began - 1 <= int(score) - expected * 1000 <= ended
    assert score % 1 == 3 / 4096, "the count is kept with it"
    ttl: Any = await commands.pttl(due)
    assert abs(ttl - 2 * MAX_DELAY_SECONDS * 1000) < 60_000
    ((consumer, deliveries, idle),) = (await rows(commands, A)).values()
    assert (consumer, deliveries) == ("me", 3)
    assert idle < LONG_MS / 2
    assert MAX_DELAY_SECONDS == 7 * 24 * 3600


@pytest.mark.parametrize("delay", [0, -5, 5])
@pytest.mark.parametrize(
    ("before", "counted", "after"), [(3, True, 3), (3, False, 2), (0, False, 0), (1, False, 0)]
)
async def test_a_delivery_may_not_count(
    commands: Redis, delay: float, before: int, counted: bool, after: int
) -> None:
    (entry_id,) = await hold(commands, A, 1, by="me")
    await let_lapse(commands, A, [entry_id], deliveries=before, by="me")
    assert await release.postpone(commands, A, "g", "me", entry_id, delay_seconds=delay, counted=counted)
    assert (await rows(commands, A))[entry_id][1] == after
    if delay <= 0:
        assert not await commands.exists(names.due(A, "g"))
        taken, _ = await abandoned(commands, A, seconds=10 * 365 * 86_400)  # at once, whatever the lease
        assert taken == [(A, entry_id, after + 1)]


async def test_an_event_that_another_holds_is_not_postponed(commands: Redis) -> None:
    (entry_id,) = await hold(commands, A, 1, by="other")
    assert await release.postpone(commands, A, "g", "me", entry_id, delay_seconds=5) is False
    assert await release.postpone(commands, A, "none", "me", entry_id, delay_seconds=5) is False
    assert not await commands.exists(names.due(A, "g"))
    assert (await rows(commands, A))[entry_id][:2] == ("other", 1)


async def test_named_entries_are_given_back(commands: Redis) -> None:
    a, b = await hold(commands, A, 5, by="me"), await hold(commands, B, 1, by="me")
    foreign = await hold(commands, C, 1, by="other")
    known = {(A, a[0]): 7, (A, a[1]): 0, (A, a[2]): release.KEEP, (B, b[0]): 2, (C, foreign[0]): 9}
    streams = [A, "{t}none", B, C]
    assert await release.release(commands, "g", "me", streams, known, everything=False) == 3
    found = await rows(commands, A)
    assert [found[entry_id][1] for entry_id in a] == [7, 0, 1, 1, 1]
    free = [entry_id for entry_id, row in found.items() if row[2] > LONG_MS]
    assert free == a[:2]
    assert (await rows(commands, C))[foreign[0]][:2] == ("other", 1)
    assert await rows(commands, B) != {}


async def test_all_that_is_held_is_given_back_as_not_delivered(commands: Redis) -> None:
    ids = await hold(commands, A, 350, by="me")
    await let_lapse(commands, A, ids[:1], deliveries=4, by="me")
    await let_lapse(commands, A, ids[1:2], deliveries=0, by="me")
    others = await hold(commands, A, 2, by="other")
    known = {(A, ids[2]): 9, (A, ids[120]): release.KEEP}
    assert await release.release(commands, "g", "me", [A], known, everything=True) == 349
    found = await rows(commands, A)
    assert [found[entry_id][1] for entry_id in ids[:4]] == [3, 0, 9, 0]
    kept = [entry_id for entry_id, row in found.items() if row[2] < LONG_MS]
    assert kept == [ids[120], *others]
    assert [found[entry_id][:2] for entry_id in kept] == [("me", 1), ("other", 1), ("other", 1)]


@pytest.mark.parametrize("everything", [True, False])
async def test_a_consumer_that_holds_nothing_leaves_the_group(commands: Redis, everything: bool) -> None:
    for stream in (A, B):
        ids = await hold(commands, stream, 1, by="me")
        if stream == A:
            await acks.ack(commands, "g", "me", [(stream, ids[0])])
    before = int((await commands.time())[0])
    known = {(B, ids[0]): release.KEEP}
    assert await release.release(commands, "g", "me", [A, B], known, everything=everything) == 0
    assert (await consumers(commands, A), await consumers(commands, B)) == (set(), {"me"})
    assert before <= int(await recorded(commands, A, "used")) <= before + 60
    assert await recorded(commands, B, "used") is None


# Publishing -------------------------------------------------------------------------------------


def draft(stream: str, number: int, *, attempt: str = "first", remember: float = 60) -> Draft:
    fields = {b"data": str(number).encode(), b"more": b"x"}
    return Draft(stream, fields, event_id=f"event:Ev{number}", attempt=attempt, remember_seconds=remember)


async def test_each_of_several_streams_has_its_entries_in_order(commands: Redis) -> None:
    drafts = [draft(A, 1), draft(B, 2), draft(A, 3), draft(C, 4), draft(A, 1, attempt="second")]
    done = await publish(commands, drafts, hard_maxlen=10)
    assert [(one.stream, one.duplicate, one.length) for one in done] == [
        (A, False, 1),
        (B, False, 1),
        (A, False, 2),
        (C, False, 1),
        (A, True, 2),
    ]
    assert done[4].id == done[0].id
    for stream, numbers in ((A, [1, 3]), (B, [2]), (C, [4])):
        assert [fields for _, fields in await entries(commands, stream)] == [
            draft(stream, number).fields for number in numbers
        ]
    assert [one.id for one in done if one.stream == A][:2] == [i for i, _ in await entries(commands, A)]


async def test_an_id_is_remembered_for_the_given_time(commands: Redis) -> None:
    (first,) = await publish(commands, [draft(A, 1, remember=60)], hard_maxlen=10)
    await publish(commands, [draft(A, 2, remember=0), draft(A, 3, remember=0.001)], hard_maxlen=10)
    bucket = seen.buckets(A, "event:Ev1")[0]
    assert 60_000 < (lives := await commands.pttl(bucket)) <= 75_000  # until no id of it can count any more
    assert not await commands.hexists(seen.buckets(A, "event:Ev2")[0], seen.field("event:Ev2"))
    again = await publish(commands, [draft(A, 1), draft(A, 1, attempt="other")], hard_maxlen=10)
    assert [(one.id, one.duplicate, one.length) for one in again] == [
        (first.id, False, 3),
        (first.id, True, 3),
    ]
    assert await commands.pttl(bucket) <= lives  # the time runs from the first
    added = await publish(commands, [draft(A, 2, remember=0)] * 2, hard_maxlen=10)
    assert [(one.duplicate, one.length) for one in added] == [(False, 4), (False, 5)]
    (unasked,) = await publish(commands, [draft(A, 1, remember=0)], hard_maxlen=10)
    assert (unasked.duplicate, unasked.length, unasked.is_kept) == (False, 6, False)


async def test_an_id_does_not_outlive_its_stream_but_its_entry(commands: Redis) -> None:
    (first,) = await publish(commands, [draft(A, 1)], hard_maxlen=10)
    await commands.xtrim(A, maxlen=0, approximate=False)
    (again,) = await publish(commands, [draft(A, 1, attempt="other")], hard_maxlen=10)
    assert (again.id, again.duplicate, again.length) == (first.id, True, 0)
    await commands.delete(A)
    (anew,) = await publish(commands, [draft(A, 1, attempt="other")], hard_maxlen=10)
    assert (anew.duplicate, anew.length) == (False, 1)


async def test_a_refused_event_does_not_fail_the_others(commands: Redis) -> None:
    await commands.set(B, "no stream")
    await publish(commands, [draft(A, 1)], hard_maxlen=9)
    with pytest.raises(ResponseError, match="STREAMFULL it has 2 entries"):
        await publish(commands, [draft(A, 2), draft(A, 3), draft(C, 4), draft(C, 5)], hard_maxlen=2)
    assert (await commands.xlen(A), await commands.xlen(C)) == (2, 2)
    (known,) = await publish(commands, [draft(A, 2, attempt="other")], hard_maxlen=2)  # though it is full
    assert known.duplicate
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await publish(commands, [draft(A, 6), draft(B, 7), draft(B, 8), draft(C, 9)], hard_maxlen=9)
    assert (await commands.xlen(A), await commands.xlen(C)) == (3, 3)


async def test_an_event_that_cannot_be_added_for_another_reason_does_not_fail_the_others_either(
    commands: Redis,
) -> None:
    await commands.xadd(A, {"data": "the last id that there is"}, id=f"{2**64 - 1}-{2**64 - 1}")
    with pytest.raises(ResponseError, match="exhausted the last possible ID"):
        await publish(commands, [draft(B, 1), draft(A, 2), draft(B, 3)], hard_maxlen=9)
    assert (await commands.xlen(A), await commands.xlen(B)) == (1, 2)


async def test_a_server_that_may_not_be_written_to_refuses_the_whole(own_server: Server) -> None:
    """So that the connection is given up, and the primary looked for."""
    with own_server.admin() as admin:
        admin.replicaof("127.0.0.1", "1")
    async with Redis.from_url(own_server.url) as redis:
        send: Any = redis.execute_command
        with pytest.raises(ReadOnlyError):
            await send(*command([draft(A, 1), draft(A, 2)], seen.Views(), hard_maxlen=9, in_full=True))


def test_a_script_is_sent_by_its_digest_unless_in_full() -> None:
    assert command([draft(A, 1)], seen.Views(), hard_maxlen=9)[0] == "EVALSHA"
    assert command([draft(A, 1)], seen.Views(), hard_maxlen=9, in_full=True)[0] == "EVAL"


async def test_health_checks_leave_a_hundred_behind(commands: Redis) -> None:
    for number in range(103):
        data = b'{"type": "health_check", "n": %d}' % number
        (done,) = await publish_health_check(commands, A, {b"data": data}, hard_maxlen=1000)
    there = await entries(commands, A)
    assert [json.loads(fields[b"data"])["n"] for _, fields in there] == list(range(3, 103))
    assert (done.id, done.duplicate, done.length, done.stream) == (there[-1][0], False, 100, A)


async def test_news_are_dated_by_the_server(commands: Redis) -> None:
    for part in (0.1, 0.7):
        while not part <= (await now_ms(commands)) % 1000 / 1000 <= part + 0.2:
            await anyio.sleep(0.01)
        before = await now_ms(commands)
        await announce(commands, [A, B])
        after = await now_ms(commands)
        found: Any = await commands.zrange(names.INDEX, 0, -1, withscores=True)
        assert [name for name, _ in found] == [A.encode(), B.encode()]
        assert all(before - 1 <= score * 1000 <= after + 1 for _, score in found)


# Dead letters -----------------------------------------------------------------------------------


async def test_a_letter_has_the_entry_and_what_is_known_of_it(commands: Redis) -> None:
    ids = await hold(commands, A, 2, by="me")
    await let_lapse(commands, A, ids[:1], deliveries=5, by="me")
    before = int((await commands.time())[0])
    assert await dead.bury(commands, A, "g", "me", ids[0], "because")
    ((_, letter),) = await entries(commands, names.dead_letters(A))
    at = int(letter.pop(b"abe:at"))
    assert before <= at <= before + 60
    assert letter == {
        b"data": f"{A} 0".encode(),
        b"abe:reason": b"because",
        b"abe:stream": A.encode(),
        b"abe:group": b"g",
        b"abe:id": ids[0].encode(),
        b"abe:deliveries": b"5",
        b"abe:consumer": b"me",
    }
    assert list(await rows(commands, A)) == ids[1:]
    assert not await dead.bury(commands, A, "g", "other", ids[1], "not mine")
    assert list(await rows(commands, A)) == ids[1:]
    assert await commands.xlen(names.dead_letters(A)) == 1
    await commands.xdel(A, ids[1])
    assert await dead.bury(commands, A, "g", "me", ids[1], "there is nothing left to bury")
    assert await rows(commands, A) == {}
    assert await commands.xlen(names.dead_letters(A)) == 1


@pytest.mark.parametrize(("count", "left_out"), [(3500, None), (3501, 3501)])
@pytest.mark.parametrize("with_data", [True, False])
async def test_a_letter_of_too_many_fields_keeps_what_counts(
    commands: Redis, count: int, left_out: int | None, with_data: bool
) -> None:
    await fill(commands, A, 0)
    fields: dict[Any, Any] = {f"f{number}": "x" for number in range(count - with_data)}
    if with_data:
        fields["data"] = "kept"
    await commands.xadd(A, fields)
    (entry,) = await lease.take_new(commands, "g", "me", [A], count=1, block_ms=None)
    assert await dead.bury(commands, A, "g", "me", entry.id, "why")
    ((_, letter),) = await entries(commands, names.dead_letters(A))
    own = {name: value for name, value in letter.items() if not name.startswith(b"abe:")}
    if left_out is None:
        assert (len(own), letter[b"abe:reason"]) == (count, b"why")
    else:
        assert own == ({b"data": b"kept"} if with_data else {})
        assert letter[b"abe:reason"] == f"why ({left_out - with_data} other fields were left out)".encode()


async def letters(redis: Redis, stream: str, count: int) -> list[str]:
    """Dead letters of the group, by their ids."""
    for entry_id in await hold(redis, stream, count, by="me"):
        await dead.bury(redis, stream, "g", "me", entry_id, "because")
    return [entry_id for entry_id, _ in await entries(redis, names.dead_letters(stream))]


async def test_a_letter_goes_back_for_its_group_as_it_was(commands: Redis) -> None:
    ids = await letters(commands, A, 3)
    moved = await dead.redrive(commands, A, [ids[0], "1-1", ids[1]], hard_maxlen=100)
    assert moved == ids[:2]
    assert [entry_id for entry_id, _ in await entries(commands, names.dead_letters(A))] == ids[2:]
    there = await entries(commands, A)
    for number in (0, 1):
        assert there[3 + number][1] == {
            b"data": f"{A} {number}".encode(),
            dead.ONLY: b"g",
            dead.FIRST: there[number][0].encode(),
        }
    first_id = there[0][0].encode()
    (again, _) = await lease.take_new(commands, "g", "me", [A], count=5, block_ms=None)
    assert await dead.bury(commands, A, "g", "me", again.id, "once more")
    letter = (await entries(commands, names.dead_letters(A)))[-1][1]
    assert letter[b"abe:id"] == first_id
    assert dead.FIRST not in letter
    assert dead.ONLY not in letter


async def test_a_full_stream_takes_no_letter_back(commands: Redis) -> None:
    ids = await letters(commands, A, 3)
    with pytest.raises(ResponseError, match="STREAMFULL it has 4 entries"):
        await dead.redrive(commands, A, ids, hard_maxlen=4)
    assert await commands.xlen(A) == 4
    assert await commands.xlen(names.dead_letters(A)) == 2


async def test_a_letter_that_names_no_group_is_for_all(commands: Redis) -> None:
    await fill(commands, A, 0)
    letter_id: Any = await commands.xadd(names.dead_letters(A), {"data": "x"})
    assert await dead.redrive(commands, A, [letter_id.decode()], hard_maxlen=9) == [letter_id.decode()]
    assert [fields for _, fields in await entries(commands, A)] == [{b"data": b"x", dead.FIRST: letter_id}]


async def group_of(redis: Redis, stream: str) -> Any:
    (found,) = await redis.xinfo_groups(stream)
    return found


async def test_a_group_that_left_no_record_gets_only_its_letters(commands: Redis) -> None:
    ids = await letters(commands, A, 2)
    await fill(commands, A, 3)  # which the group has not had, nor wants
    await commands.xgroup_destroy(A, "g")
    await dead.redrive(commands, A, ids, hard_maxlen=100)
    group = await group_of(commands, A)
    assert (group["lag"], group["entries-read"]) == (2, 5)
    leased = await lease.take_new(commands, "g", "me", [A], count=100, block_ms=None)
    assert [entry.fields[b"data"] for entry in leased] == [f"{A} {number}".encode() for number in (0, 1)]
    assert await recorded(commands, A, "used") is not None


async def test_a_group_whose_stream_is_gone_gets_only_its_letters(commands: Redis) -> None:
    ids = await letters(commands, A, 2)
    await commands.delete(A)
    await dead.redrive(commands, A, ids, hard_maxlen=100)
    group = await group_of(commands, A)
    assert (group["name"], group["lag"]) == (b"g", 2)
    leased = await lease.take_new(commands, "g", "me", [A], count=100, block_ms=None)
    assert len(leased) == 2


async def test_a_group_whose_stream_is_new_gets_it_from_its_beginning(commands: Redis) -> None:
    ids = await letters(commands, A, 2)
    await commands.hset(names.records(A), "floor g", "9-9 50 0")
    await commands.delete(A)
    for number in range(3):
        await commands.xadd(A, {"data": f"new {number}"})
    first = (await entries(commands, A))[0][0]
    await commands.xdel(A, first)
    await dead.redrive(commands, A, ids, hard_maxlen=100)
    group = await group_of(commands, A)
    assert (group["entries-read"], group["lag"]) == (1, 4)
    leased = await lease.take_new(commands, "g", "me", [A], count=100, block_ms=None)
    assert [entry.fields[b"data"] for entry in leased[:2]] == [b"new 1", b"new 2"]
    assert len(leased) == 4


async def test_letters_of_a_key_that_is_no_stream_stay(commands: Redis) -> None:
    ids = await letters(commands, A, 1)
    await commands.delete(A)
    await commands.set(A, "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await dead.redrive(commands, A, ids, hard_maxlen=9)
    assert await commands.xlen(names.dead_letters(A)) == 1


@pytest.mark.parametrize("gone", ["stream", "group"])
async def test_a_letter_stays_while_its_group_cannot_be_made(own_server: Server, gone: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        commands = (await backend.connections()).commands
        ids = await letters(commands, A, 1)
        await (commands.delete(A) if gone == "stream" else commands.xgroup_destroy(A, "g"))
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "-xgroup|create")
        with pytest.raises(ResponseError, match=r"(?i)permission"):
            await dead.redrive(commands, A, ids, hard_maxlen=9)
        assert [entry_id for entry_id, _ in await entries(commands, names.dead_letters(A))] == ids


async def test_letters_are_removed_for_good(commands: Redis) -> None:
    ids = await letters(commands, A, 3)
    assert await dead.purge(commands, A, [*ids[:2], "1-1"]) == 2
    assert await commands.xlen(names.dead_letters(A)) == 1


async def test_letters_older_than_so_many_days_go(commands: Redis) -> None:
    day_ms = 86_400_000
    now = int(await now_ms(commands))
    for stream, ages in ((A, [9.0, 2.01, 1.99, 0.0]), (B, [1.0])):
        for age in ages:
            await commands.xadd(names.dead_letters(stream), {"data": "x"}, id=f"{now - int(age * day_ms)}-1")
    for number in range(250):
        await commands.xadd(names.dead_letters(C), {"data": "x"}, id=f"{number + 1}-1")
    await commands.set(names.dead_letters("{t}d"), "no stream")
    assert await dead.expire(commands, ["{t}d", A, B, C, "{t}e"], days=2) == {A: 2, C: 200}
    assert await commands.xlen(names.dead_letters(A)) == 2
    assert await dead.expire(commands, [A, B, C], days=2) == {C: 50}
    assert await dead.expire(commands, [A], days=10**6) == {}

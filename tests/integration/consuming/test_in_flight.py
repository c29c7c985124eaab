"""What one consumer holds, from its lease to its end: what `InFlight` promises, on a real server."""

import time
from collections import deque
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis import Event, Settings
from abe_redis.consuming.held import Held
from abe_redis.consuming.in_flight import InFlight
from abe_redis.consuming.unconfirmed import Doubt, Unconfirmed
from abe_redis.events import codec
from abe_redis.streams import lease, names
from abe_redis.streams.hold_times import GIVEN_BACK_MS
from tests.integration.on_streams import A, B, fill, let_lapse, rows


class Nobody:
    """Who settles events that nobody settles."""

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None: ...

    async def bury(self, event: Event, *, reason: str) -> None: ...


def empty(**settings: Any) -> InFlight:
    return InFlight(Settings(**settings), "g", "me", Nobody(), deque[Held]())


def reads_in(doubt: Doubt) -> Unconfirmed:
    reads = Unconfirmed()
    reads.leave(doubt)
    return reads


async def add(redis: Redis, *entries: dict[Any, Any], stream: str = A) -> None:
    await fill(redis, stream, 0)
    for fields in entries:
        await redis.xadd(stream, fields)


async def taken(redis: Redis, *streams: str) -> list[lease.Leased]:
    return await lease.take_new(redis, "g", "me", list(streams or (A,)), count=100, block_ms=None)


async def with_events(redis: Redis, count: int, **settings: Any) -> tuple[InFlight, list[Held]]:
    await add(redis, *({"data": f'{{"n":{number}}}'} for number in range(count)))
    in_flight = empty(**settings)
    return in_flight, in_flight.accept(await taken(redis))


def delivered_events(in_flight: InFlight, held: Held) -> Held:
    in_flight.buffer.remove(held)
    assert in_flight.deliver(held)
    return held


def in_a_hand(held: Held) -> Event:
    return held.event


async def letters(redis: Redis, stream: str = A) -> list[Any]:
    found: Any = await redis.xrange(names.dead_letters(stream))
    return [(fields[b"data"], fields[b"abe:reason"]) for _, fields in found]


async def test_at_first_nothing_is_held() -> None:
    in_flight = empty()
    assert (list(in_flight.buffer), in_flight.delivered_events, in_flight.active) == ([], {}, set())
    assert (in_flight.largest_bytes, in_flight.delivered, in_flight.delivered_at) == (1, 0, 0)
    assert not in_flight.has_finished
    assert (in_flight.accept([]), in_flight.largest_bytes) == ([], 1)
    assert len(in_flight.accept([lease.Leased(A, "1-0", {b"no": b"data"}, 1)])) == 1
    assert in_flight.largest_bytes == 1, "something is divided by it"


async def test_leased_entries_are_sorted_by_what_can_be_done_with_them(commands: Redis) -> None:
    await add(
        commands,
        {"data": '{"n":1}'},
        {"data": '{"n":22}', "abe:only": "other"},
        {"data": '{"n":3}', "abe:only": "g"},
        {"no": "data"},
        {"data": "{}"},
    )
    leased = await taken(commands)
    in_flight = empty(redis_stream_max_deliveries=3)
    accepted = in_flight.accept([*leased[:4], leased[4]._replace(deliveries=4)])
    assert [held.entry for held in accepted] == [leased[0], leased[2], leased[3]]
    assert list(in_flight.buffer) == accepted
    assert in_flight.largest_bytes == 8
    assert in_flight.has_finished
    assert in_flight.is_settling(A)
    assert not in_flight.is_settling(B)
    assert in_flight.known(A) == {(A, entry.id) for entry in leased}
    assert in_flight.known(B) == set()
    await in_flight.ack(commands)
    assert leased[1].id not in await rows(commands, A)
    assert in_flight.has_finished, "one waits for its burial"
    assert in_flight.is_settling(A)
    await in_flight.bury(commands)
    assert await letters(commands) == [(b"{}", b"delivered 3 times without an ack")]
    assert (in_flight.has_finished, in_flight.is_settling(A), in_flight.active) == (False, False, {A})
    assert in_flight.accept([leased[0]._replace(deliveries=3)]) != [], "one delivery more is the last"


async def test_a_handler_is_given_an_event(commands: Redis) -> None:
    await add(commands, {"data": '{"n":1}', codec.ORIGIN: "o"}, {"data": "no JSON"}, {"data": "{}"})
    in_flight = empty()
    first, second, third = in_flight.accept(await taken(commands))
    with pytest.raises(RuntimeError, match="No handler works on this event"):
        in_a_hand(first)
    before = time.monotonic()
    assert delivered_events(in_flight, first).event == {"n": 1}
    assert (first.event.deliveries, first.event.origin) == (1, "o")
    assert before <= (first.handed_at or 0) == in_flight.delivered_at
    in_flight.buffer.remove(second)
    assert not in_flight.deliver(second)
    assert (in_flight.delivered, list(in_flight.delivered_events)) == (1, [first.key])
    assert in_flight.known(A) == {first.key, second.key, third.key}
    assert delivered_events(in_flight, third).event.origin is None
    in_flight.finish(third)
    await in_flight.bury(commands)
    assert [data for data, _ in await letters(commands)] == [b"no JSON"]
    for _ in range(2):
        in_flight.finish(first)
    with pytest.raises(RuntimeError):
        in_a_hand(first)
    assert in_flight.delivered_events == {}
    await in_flight.ack(commands)
    assert not in_flight.has_finished
    assert await rows(commands, A) == {}


async def test_an_event_handled_for_too_long_is_not_renewed(
    commands: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    in_flight, (old, young, ahead) = await with_events(commands, 3, redis_stream_max_handling_seconds=100)
    lost: list[str] = []
    for held in (old, young):
        delivered_events(in_flight, held)
        held.on_lost = lambda held=held: lost.append(held.entry.id)
    assert old.handed_at is not None
    assert young.handed_at is not None
    old.handed_at -= 200
    young.handed_at -= 50
    for held in (old, young, ahead):
        held.leased_at -= 50
    await let_lapse(commands, A, [held.entry.id for held in (old, young, ahead)], deliveries=1, by="me")
    for _ in range(2):
        await in_flight.renew(commands)
    found = await rows(commands, A)
    assert [found[held.entry.id][2] < 60_000 for held in (old, young, ahead)] == [False, True, True]
    assert [held.lost for held in (old, young, ahead)] == [True, False, False]
    assert [time.monotonic() - held.leased_at < 40 for held in (old, young, ahead)] == [False, True, True]
    assert lost == [old.entry.id]
    assert caplog.text.count("is not renewed any more: its handler has had it for too long") == 1


async def test_a_renewal_reports_events_that_another_holds_as_lost(commands: Redis) -> None:
    in_flight, (first, second, third) = await with_events(commands, 3)
    delivered_events(in_flight, first)
    in_flight.finish(delivered_events(in_flight, third))
    await commands.xclaim(A, "g", "other", 0, [first.entry.id, third.entry.id])
    await in_flight.renew(commands)
    assert [held.lost for held in (first, second, third)] == [True, False, True]


async def test_an_ack_reports_events_that_another_holds(
    commands: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    in_flight, (first, second, *more) = await with_events(commands, 4)
    for held in (first, second, *more):
        in_flight.finish(delivered_events(in_flight, held))
    others = [held.entry.id for held in (second, *more)]
    await commands.xclaim(A, "g", "other", 0, [*others])
    await in_flight.ack(commands)
    assert list(await rows(commands, A)) == others
    assert in_flight.active == {A}
    assert f"Event {second.entry.id} of {A!r} was given to another consumer although its lease" in caplog.text
    assert "ordered and unordered workers run side by side in group 'g'" in caplog.text
    assert "So it is with 2 more events." in caplog.text
    assert len(caplog.records) == 1
    assert "its lease was over" not in caplog.text
    assert first.entry.id not in caplog.text
    assert not in_flight.has_finished


async def test_an_event_that_cannot_be_buried_does_not_block_the_next(
    commands: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await add(commands, {"data": "{}"})
    await add(commands, {"data": "{}"}, {"data": "[]"}, stream=B)
    await commands.set(names.dead_letters(A), "no stream")
    leased = [*await taken(commands, A), *await taken(commands, B)]
    in_flight = empty(redis_stream_max_deliveries=1)
    assert in_flight.accept([entry._replace(deliveries=2) for entry in leased]) == []
    await commands.xclaim(B, "g", "other", 0, [leased[2].id])
    await in_flight.bury(commands)
    assert not in_flight.has_finished
    assert list(await rows(commands, A)) == [leased[0].id]
    assert [data for data, _ in await letters(commands, B)] == [b"{}"]
    assert in_flight.active == {B}
    assert f"Buried entry {leased[1].id} of {B!r}" in caplog.text
    assert f"Buried entry {leased[2].id}" not in caplog.text, "it was not ours any more"
    assert "The entry stays pending." in caplog.text


async def test_events_in_flight_can_be_nacked_and_buried_by_hand(commands: Redis) -> None:
    in_flight, (first, second, third) = await with_events(commands, 3)
    for held in (first, second, third):
        delivered_events(in_flight, held)
    assert await in_flight.nack(commands, first, delay_seconds=100)
    assert in_flight.active == {A}
    in_flight.active.clear()
    assert await in_flight.bury_delivered(commands, second, "unwanted")
    assert in_flight.active == {A}
    assert await letters(commands) == [(b'{"n":1}', b"unwanted")]
    assert list(in_flight.delivered_events) == [third.key]
    await commands.xclaim(A, "g", "other", 0, [third.entry.id])
    assert not await in_flight.bury_delivered(commands, third, "unwanted")
    assert in_flight.delivered_events == {}


async def test_a_burial_by_hand_that_redis_refuses_is_not_tried_again(commands: Redis) -> None:
    in_flight, (held,) = await with_events(commands, 1)
    delivered_events(in_flight, held)
    await commands.set(names.dead_letters(A), "no stream")
    with pytest.raises(ResponseError, match=r"."):
        await in_flight.bury_delivered(commands, held, "unwanted")
    assert not in_flight.has_finished
    assert list(await rows(commands, A)) == [held.entry.id]


async def test_prefetched_events_go_back_as_not_delivered(commands: Redis) -> None:
    in_flight, (first, second, third) = await with_events(commands, 3)
    delivered_events(in_flight, third)
    assert in_flight.buffered_in({B}) == []
    assert in_flight.buffered_in({A, B}) == [first, second]
    await in_flight.give_back_buffered(commands, [first])
    assert list(in_flight.buffer) == [second]
    found = await rows(commands, A)
    assert [found[held.entry.id][1] for held in (first, second, third)] == [0, 1, 1]
    idle = [found[held.entry.id][2] > GIVEN_BACK_MS for held in (first, second, third)]
    assert idle == [True, False, False]


@pytest.mark.parametrize("name", [None, "me"])
async def test_events_of_an_unconfirmed_read_go_back_if_the_name_is_ours_alone(
    commands: Redis, name: str | None
) -> None:
    await add(commands, *({"data": "{}"} for _ in range(3)))
    leased = await taken(commands)
    in_flight = empty(redis_stream_consumer=name)
    (seen,) = in_flight.accept(leased[:1])
    await in_flight.give_back_unconfirmed(commands, [], reads_in(Doubt.COUNTED))
    assert {row[1] for row in (await rows(commands, A)).values()} == {1}
    await in_flight.give_back_unconfirmed(commands, [A], reads_in(Doubt.COUNTED))
    found = await rows(commands, A)
    given_back = [found[entry.id][2] > GIVEN_BACK_MS for entry in leased]
    assert given_back == ([False, True, True] if name is None else [False] * 3)
    assert [found[entry.id][1] for entry in leased] == ([1, 0, 0] if name is None else [1] * 3)
    assert list(in_flight.buffer) == [seen]


@pytest.mark.parametrize(
    ("name", "doubt"), [(None, Doubt.COUNTED), (None, Doubt.NOTHING), ("me", Doubt.COUNTED)]
)
async def test_at_the_end_all_is_let_go(commands: Redis, name: str | None, doubt: Doubt) -> None:
    await add(commands, *({"data": f'{{"n":{number}}}'} for number in range(5)))
    leased = await taken(commands)
    in_flight = empty(redis_stream_consumer=name, redis_stream_max_deliveries=2)
    held = in_flight.accept([*leased[:3], leased[3]._replace(deliveries=3)])
    in_flight.finish(delivered_events(in_flight, held[0]))
    delivered_events(in_flight, held[1])
    await in_flight.give_back(commands, [A], reads_in(doubt))
    found = await rows(commands, A)
    everything = name is None and doubt is Doubt.COUNTED
    assert {entry_id: row[1] for entry_id, row in found.items()} == {
        leased[1].id: 1,
        leased[2].id: 0,
        leased[4].id: 0 if everything else 1,
    }
    assert (found[leased[4].id][2] > GIVEN_BACK_MS) is everything
    assert [data for data, _ in await letters(commands)] == [b'{"n":3}']
    assert not in_flight.has_finished
    assert list(in_flight.buffer) == []
    await in_flight.give_back(commands, [], reads_in(doubt))


@pytest.mark.parametrize("is_dropped", [False, True])
async def test_what_it_parted_with_is_given_back_unless_it_is_its_own_again(
    commands: Redis, is_dropped: bool
) -> None:
    in_flight, (mine, again, theirs) = await with_events(commands, 3)
    for held in (mine, again, theirs):
        in_flight.buffer.remove(held)
        in_flight.part_with(held)
        held.lose()
    if is_dropped:
        await commands.xgroup_delconsumer(A, "g", "me")
    await commands.xclaim(A, "g", "other", 0, [theirs.entry.id], force=True)
    in_flight.buffer.append(Held(again.entry, again.key, again.leased_at))
    await in_flight.say_parted(commands)
    assert not in_flight.has_untold
    assert not in_flight.has_leftovers
    found: Any = await commands.xpending_range(A, "g", "-", "+", 9)
    holders = {row["message_id"].decode(): row["consumer"] for row in found}
    assert holders[mine.entry.id] == names.NOBODY
    assert holders[theirs.entry.id] == b"other"
    assert holders.get(again.entry.id) == (None if is_dropped else b"me")

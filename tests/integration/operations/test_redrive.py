"""Redrives: which letters go back, to whom, in which order, and never twice."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import RedisRefusedError, RequestError
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import names
from tests.integration.conftest import take, until
from tests.integration.operations.buried import ALL, DEAD, TOPIC, letters, redis_url

__all__ = ["letters", "redis_url"]


async def bury(
    redis: Redis,
    first: int,
    *,
    stream: str = TOPIC,
    group: str = "bot",
    reason: str = "Boom: no",
    **payload: Any,
) -> str:
    """A dead letter as burial writes it, of an event with this first id."""
    data = json.dumps({"n": first, "type": "message"} | payload)
    fields: dict[Any, Any] = {"data": data, "abe:reason": reason, "abe:group": group, "abe:id": f"{first}-0"}
    fields |= {"abe:stream": stream, "abe:deliveries": "5", "abe:consumer": "c", "abe:at": "1"}
    entry_id: Any = await redis.xadd(names.dead_letters(stream), fields)
    return str(entry_id.decode())


async def numbers(redis: Redis, stream: str = TOPIC) -> list[int]:
    rows: Any = await redis.xrange(stream)
    return [json.loads(fields[b"data"])["n"] for _, fields in rows]


@pytest.mark.promise(
    "`abe-redis dead redrive` sends it back to the group that gave up on it, and to no other."
)
async def test_only_the_group_that_gave_up_gets_it_in_the_order_of_publishing(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    for first in (30, 10, 100, 20):
        await bury(redis, first, event_id="Ev1")
    for group in ("bot", "audit", "agent"):
        await redis.xgroup_create(TOPIC, group, "0", mkstream=True)
    assert (await letters.redrive(TOPIC, ALL)).redriven == 4
    await backend.publish(TOPIC, {"n": 1000})
    async with backend.consume(group="bot") as bot, backend.consume(group="audit") as audit:
        got = await take(bot, 5)
        assert [event["n"] for event in got] == [10, 20, 30, 100, 1000]
        assert {event.deliveries for event in got} == {1}
        assert [event["n"] for event in await take(audit, 1)] == [1000]
    leased = await Operations(backend).read_stream(stream=TOPIC, group="agent", count=2)
    assert [event.payload for event in leased.events] == [{"n": 1000}]
    rows: Any = await redis.xpending(TOPIC, "agent")
    assert rows["pending"] == 1, "what is for others was acked unseen"
    rows = await redis.xpending(TOPIC, "audit")
    assert rows["pending"] == 1


@pytest.mark.promise("Other groups that have read everything still have nothing to read.")
@pytest.mark.parametrize("known", [True, False], ids=["a group at work before", "a group that never was"])
async def test_a_redrive_waits_only_for_the_group_that_gave_up(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters, *, known: bool
) -> None:
    operations = Operations(backend)
    await backend.publish(TOPIC, {"n": 0})
    if known:
        for group in ("bot", "audit"):
            await redis.xgroup_create(TOPIC, group, "0")
            (leased,) = (await operations.read_stream(stream=TOPIC, group=group)).events
            await operations.ack(stream=TOPIC, ids=[leased.id], group=group)
    else:
        for group in ("bot", "audit"):
            await redis.xgroup_create(TOPIC, group, "$")
    for first in (10, 20):
        await bury(redis, first)
    await bury(redis, 30, group="gone")
    assert (await letters.redrive(TOPIC, ALL)).redriven == 3

    async def lags() -> dict[str, int | None]:
        (stream,) = (await operations.stream_stats(stream=TOPIC)).streams
        return {one.name: one.lag for one in stream.groups}

    assert await lags() == {"bot": 3, "audit": 0, "gone": 1}
    assert (await Groups(Scope(backend)).remove(TOPIC, "audit")).done == "removed"
    await redis.xgroup_create(TOPIC, "audit", "$")
    await backend.publish(TOPIC, {"n": 1})
    for group, expected in {"bot": [10, 20, 1], "audit": [1]}.items():
        async with backend.consume(group=group) as events:
            assert [event["n"] for event in await take(events, len(expected))] == expected


async def test_a_worker_that_waits_is_moved_past_what_is_redriven_for_others_and_loses_nothing(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    got = list[int]()
    async with backend.consume(group="audit") as events:
        for number in range(3):
            await backend.publish(TOPIC, {"n": number})
            (event,) = await take(events, 1)
            got.append(event["n"])
            await bury(redis, 100 + number)
            assert (await letters.redrive(TOPIC, ALL)).redriven == 1
    assert got == [0, 1, 2]
    (stream,) = (await Operations(backend).stream_stats(stream=TOPIC)).streams
    (audit,) = [one for one in stream.groups if one.name == "audit"]
    assert (audit.pending, audit.lag, audit.lost) == (1, 0, 0), "the last is given back"


async def test_dedup_does_not_swallow_a_redriven_envelope(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    envelope = {"type": "event_callback", "event_id": "Ev7", "event": {"type": "app_mention", "user": "U1"}}
    await backend.publish(TOPIC, envelope)
    async with backend.consume(group="bot") as events:
        (event,) = await take(events, 1)
        await event.bury(reason="by hand")
        (letter,) = (await letters.find(TOPIC, Choice(event_type="app_mention"))).letters
        assert letter.first_id == event.id
        assert (await letters.redrive(TOPIC, Choice(ids=[letter.id]))).redriven == 1
        (back,) = await take(events, 1)
        assert (back, back.deliveries) == (envelope, 1)
        await back.bury(reason="again")
    (letter,) = (await letters.find(TOPIC, ALL)).letters
    assert (letter.first_id, letter.reason) == (event.id, "again"), "the id at first is kept across burials"


async def test_a_choice_finds_the_letters_that_match_every_field(redis: Redis, letters: DeadLetters) -> None:
    first = await bury(redis, 1, reason="TimeoutError: slow")
    second = await bury(redis, 2, group="audit")
    third = await bury(redis, 3, type="app_mention")
    choices = {
        Choice(ids=(first, third)): [first, third],
        Choice(ids=("77",)): [],
        Choice(reason="timeouterror"): [first],
        Choice(group="audit"): [second],
        Choice(event_type="app_mention"): [third],
        Choice(event_type="message", group="bot"): [first],
        Choice(older_than_seconds=3600): [],
        Choice(older_than_seconds=0): [first, second, third],
        ALL: [first, second, third],
    }
    for choice, expected in choices.items():
        assert [one.id for one in (await letters.find(TOPIC, choice)).letters] == expected
        dry = await letters.redrive(TOPIC, choice, dry_run=True)
        count, left = len(expected), 3 - len(expected)
        assert (dry.redriven, dry.left, sum(dry.groups.values())) == (count, left, count)
        gone = await letters.purge(TOPIC, choice, dry_run=True)
        assert (gone.purged, gone.left) == (count, left)
    assert await redis.exists(TOPIC, "abe:streams") == 0, "a dry run changes nothing"
    await redis.xadd(DEAD, {"data": "{}", "abe:group": "bot"}, id="99999999999999-0")
    assert (await letters.find(TOPIC, Choice(ids=["99999999999999"]))).letters, "an id without its -0"
    for nothing in (Choice(), Choice(ids=["x"]), Choice(everything=True, group="bot")):
        for method in (letters.redrive, letters.purge):
            with pytest.raises(RequestError):
                await method(TOPIC, nothing)
    for stream in (DEAD, "elsewhere"):
        with pytest.raises(RequestError):
            await letters.redrive(stream, ALL)
    assert (await letters.purge(TOPIC, Choice(group="audit"))).model_dump() == {
        "stream": TOPIC, "purged": 1, "left": 3, "dry_run": False, "unknown": [], "note": "",
    }  # fmt: skip
    assert [one.more for one in [await letters.find(TOPIC, ALL, count=n) for n in (2, 3)]] == [True, False]


async def test_two_redrives_at_once_move_nothing_twice(redis: Redis, letters: DeadLetters) -> None:
    for first in range(150):
        await bury(redis, first)
    results = await asyncio.gather(*(letters.redrive(TOPIC, ALL) for _ in range(3)))
    assert sum(result.redriven for result in results) == 150
    assert sum(result.groups.get("bot", 0) for result in results) == 150, "each says what it did itself"
    assert await numbers(redis) == list(range(150))
    assert await redis.xlen(DEAD) == 0


_REDRIVE = f"""
import anyio
from abe_redis import RedisMessageQueueBackend
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.scope import Scope

async def main():
    async with RedisMessageQueueBackend.from_env() as backend:
        await DeadLetters(Scope(backend)).redrive({TOPIC!r}, Choice(everything=True))

anyio.run(main)
"""


@pytest.mark.parametrize("how", ["process", "connection"])
async def test_a_redrive_that_dies_leaves_each_event_in_one_place(
    how: str, redis: Redis, letters: DeadLetters, either_url: str
) -> None:
    pipeline = redis.pipeline(transaction=False)
    for first in range(3000):
        fields: dict[Any, Any] = {
            "data": json.dumps({"n": first}),
            "abe:group": "bot",
            "abe:id": f"{first}-0",
        }
        pipeline.xadd(DEAD, fields)
    await pipeline.execute()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _REDRIVE,
        env=os.environ | {"REDIS_URL": either_url},
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def under_way() -> bool:
        return await redis.xlen(TOPIC) > 200

    await until(under_way)
    if how == "process":
        process.send_signal(signal.SIGKILL)
    else:
        await redis.client_kill_filter(_type="normal", skipme=True)
    await process.wait()
    left, back = await numbers(redis, DEAD), await numbers(redis)
    assert sorted(left + back) == list(range(3000))
    assert back == list(range(len(back)))
    assert (await letters.redrive(TOPIC, ALL)).redriven == len(left)
    assert await numbers(redis) == list(range(3000)), "the rest follows in order"


async def test_a_full_stream_leaves_the_rest_among_the_dead(redis: Redis, either_url: str) -> None:
    for first in range(250):
        await bury(redis, first)
    settings = Settings(redis_url=either_url, redis_stream_maxlen=100, redis_stream_hard_maxlen=205)
    async with RedisMessageQueueBackend(settings) as full:
        with pytest.raises(RedisRefusedError, match="205 entries"):
            await DeadLetters(Scope(full)).redrive(TOPIC, ALL)
    assert await numbers(redis) == list(range(205))
    assert await numbers(redis, DEAD) == list(range(205, 250))


async def test_a_group_that_was_deleted_gets_only_what_it_had_not_finished(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    for number in range(3):
        await backend.publish(TOPIC, {"n": number})
    async with backend.consume(group="bot") as events:
        for event in await take(events, 2):
            last = event
        await last.bury(reason="no")
        await until(_recorded(redis, b" 3 1"))
    await redis.xgroup_destroy(TOPIC, "bot")
    await redis.xgroup_destroy(TOPIC, "bot2")
    await bury(redis, 77, group="bot2")
    assert (await letters.redrive(TOPIC, ALL)).redriven == 2
    stats = (await Operations(backend).stream_stats(stream=TOPIC)).streams[0]
    assert {group.name: group.lag for group in stats.groups}["bot2"] is not None
    async with backend.consume(group="bot") as events:
        assert sorted(event["n"] for event in await take(events, 2)) == [1, 2]
    async with backend.consume(group="bot2") as events:
        assert [event["n"] for event in await take(events, 1)] == [77], "a group without records: that alone"


def _recorded(redis: Redis, floor: bytes) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return floor in (await redis.hget(names.records(TOPIC), "floor bot") or b"")

    return check


async def test_a_stream_that_was_deleted_comes_back(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    """Its records are void then: the group is owed all of the new stream."""
    records = names.records(TOPIC)
    await redis.hset(records, "floor bot", "1700000000000-5 10 4")
    await redis.pexpire(records, 60_000)
    await bury(redis, 1)
    assert [one.stream for one in (await letters.find(None, ALL)).letters] == [TOPIC], "only these are left"
    assert (await letters.redrive(TOPIC, ALL)).redriven == 1
    assert await redis.ttl(records) == -1
    await redis.delete(TOPIC)
    await redis.hset(records, "floor bot", "1700000000000-5 10 4")
    await backend.publish(TOPIC, {"n": 2})
    await bury(redis, 3)
    assert (await letters.redrive(TOPIC, ALL)).redriven == 1
    (group,) = (await Operations(backend).stream_stats(stream=TOPIC)).streams[0].groups
    assert (group.lost, group.lag) == (8, 2)
    async with backend.consume(group="bot") as events:
        assert [event["n"] for event in await take(events, 2)] == [2, 3]


async def test_a_stream_with_a_hash_tag_of_its_own(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    stream = "slack:{team1}:events"
    await bury(redis, 5, stream=stream)
    await bury(redis, 6, stream="elsewhere")
    assert [one.stream for one in (await letters.find(None, ALL)).letters] == [stream]
    assert (await letters.redrive(stream, ALL)).redriven == 1
    async with backend.consume(group="bot") as events:
        (event,) = await take(events, 1)
        assert (event.stream, event["n"]) == (stream, 5)
        await event.bury(reason="x")
    assert (await letters.purge(stream, Choice(reason="X"))).purged == 1

"""Remembered ids: exact, for their time, small, whoever else publishes."""

import random
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.streams import names, peek, seen
from abe_redis.streams.publish import LOOKED_AFTER, Draft, publish
from abe_redis.streams.scripts import Script
from tests.patience import PATIENCE
from tests.servers import Server, Servers

S = "s"
MANY = 100_000
EARLIER = Script(Path(__file__).with_name("publish_of_before.lua").read_text("utf-8"))
"""The script of versions that remember each id in a key of its own."""

_attempts = count()


def draft(event_id: str, *, remember: float = 60, stream: str = S) -> Draft:
    return Draft(stream, {b"data": b"{}"}, f"event:{event_id}", f"attempt {next(_attempts)}", remember)


def in_one_bucket(root: int = 7) -> Iterator[str]:
    """Ids that share their bucket at level 0."""
    for number in count():
        event_id = f"Ev{number}"
        if seen.buckets(S, f"event:{event_id}", seen.View(0, 0))[0].endswith(f":{root}"):
            yield event_id


class Newcomer(seen.Views):
    """A publisher that knows nothing of any stream, each time."""

    def of(self, stream: str) -> seen.View:
        del stream
        return seen.ALL


@pytest.fixture(params=[seen.Views, Newcomer])
def views(request: pytest.FixtureRequest) -> seen.Views:
    """What a publisher knows, who takes few steps when it can, or all of them each time."""
    made: seen.Views = request.param()
    return made


async def added(redis: Redis, views: seen.Views, ids: Iterable[str], *, remember: float = 60) -> list[bool]:
    """Publish events, and say for each whether it was added."""
    drafts = [draft(event_id, remember=remember) for event_id in ids]
    return [not one.duplicate for one in await publish(redis, drafts, views, hard_maxlen=MANY)]


async def added_by_earlier_version(redis: Redis, event_id: str) -> bool:
    keys, attempt = [S, names.seen(S, f"event:{event_id}")], f"earlier {next(_attempts)}"
    (row,) = await EARLIER(redis, keys, [MANY, attempt, 60_000, "", 2, b"data", b"{}"])
    return not row[1]


async def state(redis: Redis) -> list[int]:
    """Expires, level, lowest, below, earlier."""
    said: Any = await redis.get(seen.state(S))
    return [int(word) for word in said.split()] if said else [0] * 5


async def level(redis: Redis) -> int:
    return (await state(redis))[1]


async def entry(redis: Redis, number: int) -> str:
    entries: Any = await redis.xrange(S)
    return str(entries[number][0].decode())


async def test_nothing_is_doubled_and_nothing_is_taken_for_a_duplicate(
    redis: Redis, views: seen.Views
) -> None:
    ids = [f"A{number % 3}:Ev{number}" for number in range(1500)]
    chance = random.Random(7)
    for rounds in range(2):
        chance.shuffle(ids)
        for at in range(0, len(ids), 100):
            drafts = [draft(event_id) for event_id in ids[at : at + 100]]
            done = await publish(redis, drafts, views, hard_maxlen=MANY)
            assert {one.duplicate for one in done} == {bool(rounds)}
    assert await redis.xlen(S) == len(ids)


async def test_a_full_bucket_sends_ids_on_and_forgets_none(redis: Redis, views: seen.Views) -> None:
    ids = in_one_bucket()
    known = list(islice(ids, 100))
    for at in range(0, 100, 10):
        assert all(await added(redis, views, known[at : at + 10]))
    known.append(next(one for one in ids if seen.number(f"event:{one}") < LOOKED_AFTER))
    assert await added(redis, views, known[-1:]) == [True]
    assert all(await added(redis, views, ["further on", "and another"]))
    assert not any(await added(redis, views, [*known, "further on", "and another"]))
    _, at, lowest, below, _ = await state(redis)
    assert (at, lowest) == (1, 0)
    assert below > 0


async def test_a_publisher_that_knows_too_little_is_told_before_anything_is_added(redis: Redis) -> None:
    views = seen.Views()
    assert await added(redis, views, ["Ev1"]) == [True]
    assert views.of(S)[:3] == (0, 0, False)
    await redis.set(seen.state(S), f"{10**14} 3 2 {10**14} 0")
    assert await added(redis, views, ["Ev2", "Ev2"]) == [True, False]
    assert views.of(S)[:3] == (2, 3, False)
    await redis.delete(seen.state(S))  # as FLUSHALL does, or an operator
    assert await added(redis, views, ["Ev3", "Ev3"]) == [True, False]
    assert views.of(S)[:3] == (0, 0, True)


async def test_an_id_is_forgotten_after_its_time_though_its_bucket_lives(
    redis: Redis, views: seen.Views
) -> None:
    short, long = islice(in_one_bucket(), 2)
    assert await added(redis, views, [long]) == [True]
    assert await added(redis, views, [short], remember=0.2) == [True]
    with anyio.fail_after(PATIENCE):
        while not any(await added(redis, views, [short], remember=0.2)):
            await anyio.sleep(0.02)
    assert await added(redis, views, [long]) == [False]


async def test_a_late_event_neither_shortens_nor_prolongs_what_a_bucket_remembers(
    redis: Redis, views: seen.Views
) -> None:
    first, second = islice(in_one_bucket(), 2)
    bucket = seen.buckets(S, f"event:{first}")[0]
    await added(redis, views, [first], remember=600)
    lives = await redis.pexpiretime(bucket)
    await added(redis, views, [second], remember=1)
    assert await redis.pexpiretime(bucket) == lives
    await added(redis, views, [first], remember=6000)
    assert await redis.pexpiretime(bucket) == lives, "a duplicate is remembered from its first time on"
    third = next(islice(in_one_bucket(), 2, None))
    await added(redis, views, [third], remember=6000)
    assert await redis.pexpiretime(bucket) > lives
    assert await redis.pexpiretime(seen.state(S)) >= await redis.pexpiretime(bucket)


async def test_what_has_had_its_time_makes_room_in_a_full_bucket(redis: Redis, views: seen.Views) -> None:
    ids = in_one_bucket()
    first = next(ids)
    bucket = seen.buckets(S, f"event:{first}")[0]
    await added(redis, views, [first], remember=600)
    for _ in range(5):
        await added(redis, views, islice(ids, 40), remember=0.001)
        await anyio.sleep(0.01)
        assert await redis.hlen(bucket) < 100
    assert await added(redis, views, [first]) == [False]
    assert await level(redis) == 0


async def test_a_bucket_that_is_used_for_long_holds_little_that_does_not_count(
    redis: Redis, views: seen.Views
) -> None:
    ids = in_one_bucket()
    bucket = seen.buckets(S, f"event:{next(ids)}")[0]
    await added(redis, views, islice(ids, 8), remember=0.4)
    with anyio.fail_after(PATIENCE):
        while await redis.hlen(bucket) > 8:
            await anyio.sleep(0.2)
            await added(redis, views, islice(ids, 1), remember=0.4)
    assert await redis.exists(bucket)


async def sent(redis: Redis, ids: Iterable[str]) -> dict[str, int]:
    """How often scripts send each command that writes while an event is published."""
    views = seen.Views()
    await added(redis, views, islice(in_one_bucket(5), 1))
    written = ("hset", "hdel", "pexpireat")

    async def calls() -> dict[str, int]:
        stats: Any = await redis.info("commandstats")
        return {name: int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in written}

    before = await calls()
    assert all(await added(redis, views, ids))
    return {name: count - before[name] for name, count in (await calls()).items()}


@pytest.mark.one_server
async def test_a_bucket_is_made_and_put_off_in_few_commands(redis: Redis) -> None:
    ids = (event_id for event_id in in_one_bucket() if seen.number(f"event:{event_id}") >= LOOKED_AFTER)
    assert await sent(redis, islice(ids, 1)) == {"hset": 1, "hdel": 0, "pexpireat": 1}
    assert await sent(redis, islice(ids, 1)) == {"hset": 1, "hdel": 0, "pexpireat": 0}
    # What has had its time goes at once.
    key = seen.buckets(S, f"event:{next(ids)}", seen.View(0, 0))[0]
    await redis.hset(key, mapping={"=60000": "1", **{f"old {number}": "1-1 a 1" for number in range(20)}})
    assert await sent(redis, islice(ids, 1)) == {"hset": 1, "hdel": 1, "pexpireat": 1}
    assert await redis.hlen(key) == 4, "three ids, and until when they may be added"


async def test_what_an_earlier_version_remembers_counts(redis: Redis, views: seen.Views) -> None:
    assert await added_by_earlier_version(redis, "Ev1")
    assert await added(redis, views, ["Ev1", "Ev2"]) == [False, True]
    assert await peek.remembered(redis, S, ["Ev1"]) == await entry(redis, 0)


async def test_publishers_of_both_versions_do_not_double_what_either_has(
    redis: Redis, views: seen.Views
) -> None:
    await redis.xadd(S, {"data": "{}"})  # a stream that is in use
    for number in range(30):
        of_before = await added_by_earlier_version(redis, f"old {number}")
        assert (of_before, await added(redis, views, [f"old {number}", f"new {number}"])) == (
            True,
            [False, True],
        )
        assert not await added_by_earlier_version(redis, f"new {number}")
    assert await redis.xlen(S) == 61


async def test_a_new_stream_does_without_the_keys_of_before(redis: Redis, views: seen.Views) -> None:
    await added(redis, views, ["Ev1", "Ev2"])
    assert not await redis.exists(names.seen(S, "event:Ev1"), names.seen(S, "event:Ev2"))
    assert await peek.remembered(redis, S, ["other", "Ev2"]) == await entry(redis, 1)
    assert await peek.remembered(redis, S, ["other"]) is None


async def test_the_keys_of_before_count_only_for_their_time(redis: Redis, views: seen.Views) -> None:
    await redis.xadd(S, {"data": "{}"})
    assert await added(redis, views, ["Ev1"], remember=3600) == [True]
    expires, *_, earlier = await state(redis)
    assert earlier - expires > 1.9 * 86_400_000, "two days, also when the first id counts for an hour"
    await redis.set(seen.state(S), f"{expires} 0 0 0 1")  # that time is over
    assert await added(redis, views, ["Ev1", "Ev2"]) == [False, True]
    assert not await redis.exists(names.seen(S, "event:Ev2"))


async def test_long_ids_and_those_of_any_letters_are_remembered_apart(
    redis: Redis, views: seen.Views
) -> None:
    ids = ["x" * 59, "x" * 60, "x" * 499 + "1", "x" * 499 + "2", "\u00fc" * 40, "\u00fc" * 41, " ", "0 0"]
    assert all(await added(redis, views, ids))
    assert not any(await added(redis, views, ids))
    assert max(len(seen.field(f"event:{one}").encode()) for one in ids) <= 60


@pytest.fixture(params=["make_server", "debian_redis"])
def each_server(request: pytest.FixtureRequest) -> Server:
    """Valkey 9, then the system's Redis 7."""
    make: Servers = request.getfixturevalue(request.param)
    return make()


@pytest.mark.promise("A remembered id takes at most 80 bytes once there are thousands")
async def test_a_remembered_id_takes_few_bytes(each_server: Server) -> None:
    events = 6000
    payloads = (
        {"type": "event_callback", "api_app_id": "A0PNCHHK2", "event_id": f"Ev{number:010d}"}
        for number in range(events)
    )
    async with RedisMessageQueueBackend(Settings(redis_url=each_server.url)) as backend:
        await backend.publish_many("slack_events", payloads)
    with each_server.admin() as admin:
        keys = list(admin.scan_iter("abe:seen:*", count=10_000))
        took = sum(admin.memory_usage(key) or 0 for key in keys)
        encodings = {str(admin.object("encoding", key)) for key in keys if not key.endswith(":state")}
        assert encodings == {"listpack"}
    assert took / events <= 80

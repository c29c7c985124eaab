"""Whose streams: ordered workers share them, keep and lose them, and reclaim what others left."""

import json
from contextlib import AsyncExitStack
from typing import Any, cast

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event
from tests.integration.conftest import MakeBackend, pending, take_one, until_renewed
from tests.integration.consuming.ordered.logged_workers import (
    TOPIC,
    Log,
    at_work,
    owners,
    publish,
    said,
    until_equal,
    until_true,
    worker,
)


async def add_and_take(redis: Redis, consumer: str, number: int) -> None:
    """Add an event and give it to a consumer, so that nobody can come in between."""
    script = """
        redis.call('XADD', KEYS[1], '*', 'data', ARGV[2])
        return redis.call('XREADGROUP', 'GROUP', 'default', ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
    """
    payload = json.dumps(said("A", number))
    assert await cast("Any", redis.eval(script, 1, TOPIC, consumer, payload))


@pytest.mark.promise("a worker stops: It releases each stream")
@pytest.mark.promise("a worker joins: The others rebalance")
@pytest.mark.promise(
    "claims unowned streams up to an equal share, and revokes its ownership of streams beyond that share."
)
async def test_workers_share_the_streams_when_they_come_and_when_they_go(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(redis_stream_partitions=6), Log()
    channels = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    await publish(backend, channels, 0)
    workers = [worker(make_backend(), log) for _ in range(3)]

    async def shares() -> list[int]:
        found = list((await owners(redis)).values())
        return sorted(found.count(name) for name in set(found))

    async def are(*expected: int) -> None:
        await until_equal(shares, list(expected))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(at_work(workers[0]))
        await are(6)
        await stack.enter_async_context(at_work(workers[1]))
        await are(3, 3)
        await stack.enter_async_context(at_work(workers[2]))
        await are(2, 2, 2)
        await publish(backend, channels, 1)
        await log.all_ended(channels, 2)
        await workers[0].shutdown()
        await are(3, 3)
        await publish(backend, channels, 2)
        await log.all_ended(channels, 3)
    assert all(log.ended[channel] == [0, 1, 2] for channel in channels)
    assert await owners(redis) == {}


@pytest.mark.promise("a worker joins: The others rebalance")
async def test_a_handler_at_work_keeps_its_stream(make_backend: MakeBackend, redis: Redis) -> None:
    first, second = (make_backend(redis_stream_lease_seconds=6) for _ in range(2))
    log = Log()
    log.gates["A"] = anyio.Event()
    await publish(first, "A", 1, 2)
    async with at_work(worker(first, log)):
        await until_true(lambda: log.began["A"])
        (owner,) = set((await owners(redis)).values())
        async with at_work(worker(second, log)):
            await until_renewed(redis, TOPIC, 3)  # the first lease would be over
            assert set((await owners(redis)).values()) == {owner}
            assert log.cancelled == []
            log.gates["A"].set()
            await log.all_ended("A", 2)
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("a worker freezes: The same.")
async def test_a_worker_that_lost_a_stream_is_cancelled_and_its_ack_refused(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    backend, log = make_backend(redis_stream_lease_seconds=3), Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, log)):
        await until_true(lambda: log.began["A"])
        key = "abe:owner:{slack_events}:default"
        await redis.set(key, "somebody else", ex=3600)
        await until_true(lambda: log.cancelled == [1])
        assert "does not own 'slack_events' any more" in caplog.text
        assert log.began["A"] == [1], "nothing is handed out of a stream of somebody else's"
        await redis.delete(key)
        log.gates["A"].set()
        await log.all_ended("A", 2)
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("a late command from a dead connection changes nothing.")
async def test_a_command_that_a_dead_connection_left_behind_does_not_take_an_event_out_of_its_order(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(), Log()
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        (name,) = set((await owners(redis)).values())
        await add_and_take(redis, name, 1)
        await publish(backend, "A", 2)
        await log.all_ended("A", 3)
    assert log.ended["A"] == [0, 1, 2]
    assert await pending(redis, TOPIC) == 0


@pytest.mark.promise("a worker dies: The others claim its streams")
async def test_abandoned_events_are_reclaimed_first(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(), Log()
    await publish(backend, "A", *range(150))
    await redis.xgroup_create(TOPIC, "default", "0")
    await redis.xreadgroup("default", "gone", {TOPIC: ">"}, count=130)
    deliveries: dict[int, int] = {}

    async def handle(event: Event) -> None:
        deliveries[event["n"]] = event.deliveries
        await log(event)

    async with at_work(worker(backend, handle)):
        await log.all_ended("A", 150)
    assert log.ended["A"] == list(range(150))
    assert deliveries == {number: 2 if number < 130 else 1 for number in range(150)}


async def test_events_of_an_agent_that_left_are_reclaimed(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await add_and_take(redis, "an agent", 1)
        await log.all_ended("A", 2)
    assert await pending(redis, TOPIC) == 0


async def test_closing_gives_back_as_not_delivered(make_backend: MakeBackend, redis: Redis) -> None:
    backend, other, log = make_backend(), make_backend(), Log()
    await publish(backend, "AB", *range(30))
    events = backend.consume_ordered()
    first = await take_one(events)
    await until_equal(lambda: pending(redis, TOPIC), 60)
    await backend.close()
    rows: Any = await redis.xpending_range(TOPIC, "default", "-", "+", 100)
    assert {row["times_delivered"] for row in rows if row["message_id"].decode() != first.id} == {0}
    assert await owners(redis) == {}
    async with at_work(worker(other, log)):
        await log.all_ended("AB", 30)
    assert log.ended["A"] == log.ended["B"] == list(range(30))

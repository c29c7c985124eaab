"""Ordered consumers: one conversation at a time, several of all."""

import json

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event
from tests.integration.conftest import MakeBackend, pending, take, take_one
from tests.integration.consuming.ordered.logged_workers import (
    TOPIC,
    Log,
    at_work,
    publish,
    until_true,
    worker,
)


@pytest.mark.promise("Other conversations go on meanwhile.")
async def test_one_at_a_time_of_each_conversation_and_several_of_all(make_backend: MakeBackend) -> None:
    backend, log = make_backend(redis_stream_partitions=2), Log()
    await publish(backend, "ABCDEF", *range(50))
    async with at_work(worker(backend, log)):
        await log.all_ended("ABCDEF", 50)
    assert all(log.ended[channel] == list(range(50)) for channel in "ABCDEF")
    assert log.most_at_work > 2


async def test_one_stream_is_enough(make_backend: MakeBackend, redis: Redis) -> None:
    backend, other, log = make_backend(), make_backend(), Log()
    await publish(backend, "ABC", *range(50))
    async with at_work(worker(backend, log), worker(other, log)):
        await log.all_ended("ABC", 50)
        await publish(other, "ABC", *range(50, 60))
        await log.all_ended("ABC", 60)
    assert all(log.ended[channel] == list(range(60)) for channel in "ABC")
    assert await pending(redis, TOPIC) == 0


@pytest.mark.promise('or `backend.consume_ordered(group="workers")`.')
async def test_consume_keeps_the_order_too(make_backend: MakeBackend) -> None:
    backend, other = make_backend(redis_stream_partitions=4), make_backend(redis_stream_partitions=4)
    await publish(backend, "AB", 1, 2)
    async with backend.consume_ordered() as events:
        first = await take_one(events)
        await first.nack()
        again = await take_one(events)
        assert (again["channel"], again["n"], again.deliveries) in {
            (first["channel"], 1, 2),
            ("AB".replace(first["channel"], ""), 1, 1),
        }
    async with other.consume_ordered() as events:
        found = await take(events, 4)
        for channel in "AB":
            assert [event["n"] for event in found if event["channel"] == channel] == [1, 2]


@pytest.mark.promise("belongs to no conversation, and nothing waits for it.")
async def test_events_of_no_conversation_do_not_wait(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(), Log()
    gate, began = anyio.Event(), list[int]()

    async def handle(event: Event) -> None:
        began.append(event["n"])
        await gate.wait()

    for number in range(5):
        await backend.publish(TOPIC, {"n": number})
    for number in (5, 6):  # as somebody writes it by hand
        payload = json.dumps({"channel": "C1", "n": number})
        await redis.xadd(TOPIC, {"data": payload, "conversation": ""})
    async with at_work(worker(backend, handle)):
        await until_true(lambda: len(began) == 7)
        gate.set()
    assert not log.cancelled

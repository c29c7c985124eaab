"""What a handler or caller decides about an event: nacks, delays, burial."""

import time

import pytest
from redis.asyncio import Redis

from abe_redis import (
    Event,
    RedisMessageQueueBackend,
)
from abe_redis.errors import LeaseLostError
from tests.integration.conftest import MakeBackend, pending, take_one
from tests.integration.worker.worker_at_work import letters, publish


async def test_a_nack_delivers_again_at_once(make_backend: MakeBackend) -> None:
    backend, other = make_backend(), make_backend()
    await publish(backend, 1)
    async with backend.consume() as events, other.consume() as others:
        event = await take_one(events)
        await event.nack(reason="not now")
        assert (await take_one(others)).deliveries == 2
        with pytest.raises(LeaseLostError):
            await event.nack()
        with pytest.raises(LeaseLostError):
            await event.bury(reason="twice")


async def test_a_delay_is_kept_beyond_the_lease(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.5)
    await publish(backend, 1, 2)
    async with backend.consume() as events:
        event = await take_one(events)
        assert event["n"] == 1
        began = time.monotonic()
        await event.nack(delay=3)
        assert (await take_one(events))["n"] == 2, "it does not hold up the others"
        again = await take_one(events)
        assert (again["n"], again.deliveries) == (1, 2)
        assert time.monotonic() - began >= 3
    assert await redis.keys("abe:due:*") == []


async def test_a_delay_outlives_its_process(make_backend: MakeBackend) -> None:
    first, second = make_backend(), make_backend()
    await publish(first, 1)
    event = await take_one(first.consume())
    began = time.monotonic()
    await event.nack(delay=2)
    await first.close()
    async with second.consume() as events:
        assert (await take_one(events)).deliveries == 2
    assert time.monotonic() - began >= 2


async def test_many_postponed_events_do_not_hold_up_an_abandoned_one(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_lease_seconds=0.5)
    await publish(backend, *range(50))
    async with backend.consume() as events:
        for _ in range(50):
            await (await take_one(events)).nack(delay=60)
        await publish(backend, 99)
        await redis.xreadgroup("default", "dead", {"slack_events": ">"})
        assert (await take_one(events))["n"] == 99


async def test_burying_by_hand(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await publish(backend, 1, 2)
    async with backend.consume() as events:
        await (await take_one(events)).bury(reason="nobody wants it")
        assert (await take_one(events))["n"] == 2
    (letter,) = await letters(redis)
    assert letter[b"abe:reason"] == b"nobody wants it"
    assert letter[b"data"] == b'{"n":1}'


async def test_an_event_from_elsewhere_cannot_be_settled() -> None:
    with pytest.raises(LeaseLostError):
        await Event({}, stream="s", group="g", id="1-0", deliveries=1).nack()


async def test_an_event_that_was_lost_cannot_be_settled(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()
    await publish(backend, 1)
    async with backend.consume() as events:
        event = await take_one(events)
        await redis.xclaim("slack_events", "default", "thief", 0, [event.id])
        with pytest.raises(LeaseLostError):
            await event.bury(reason="mine?")
    assert await letters(redis) == []
    assert await pending(redis, "slack_events") == 1

"""Streams into which another program wrote entries whose ids lie far ahead, such as microseconds."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.streams import seen
from tests.integration.conftest import MakeBackend, take
from tests.patience import PATIENCE

TOPIC = "slack_events"
FAR = ["1732000000000000-0", "1732000000000000000-0", "9999999999999-0", f"{2**64 - 1}-0"]


def envelope(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "event_callback", "event_id": f"Ev{number}", **more}


@pytest.mark.parametrize("far", FAR)
async def test_they_take_events_each_once(backend: RedisMessageQueueBackend, redis: Redis, far: str) -> None:
    await redis.xadd(TOPIC, {"data": "{}"}, id=far)
    for number in range(3):
        first = await backend.publish_event(TOPIC, envelope(number))
        again = await backend.publish_event(TOPIC, envelope(number))
        assert (first.duplicate, again.duplicate, again.id) == (False, True, first.id)
    for expected in (False, True):
        done = await backend.publish_many(TOPIC, [envelope(number) for number in range(3, 200)])
        assert {one.duplicate for one in done} == {expected}
    assert await redis.xlen(TOPIC) == 201
    async with backend.consume() as events:
        taken = await take(events, 201)
    assert [one.get("event_id") for one in taken] == [None, *(f"Ev{number}" for number in range(200))]


@pytest.mark.parametrize("far", FAR[:3])
async def test_their_ids_are_forgotten_after_their_time(
    make_backend: MakeBackend, redis: Redis, far: str
) -> None:
    backend = make_backend(redis_stream_dedup_seconds=1)
    await redis.xadd(TOPIC, {"data": "{}"}, id=far)
    await backend.publish_event(TOPIC, envelope(0))
    key = seen.buckets(TOPIC, "event:Ev0", seen.View(0, 0))[0]
    lasts = await redis.pttl(key)
    assert 0 < lasts < 86_400_000 or lasts == -2, "gone already"
    assert 0 < await redis.pttl(seen.state(TOPIC)) < 4 * 86_400_000
    with anyio.fail_after(PATIENCE):
        while (await backend.publish_event(TOPIC, envelope(0))).duplicate:
            await anyio.sleep(0.1)

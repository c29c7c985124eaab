"""What was delivered too often is buried in its turn: before the next of its conversation starts."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Event
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.ordered.logged_workers import at_work, worker

TOPIC = "slack_events"
DEAD = "dead:{slack_events}"


def said(channel: str, number: int) -> str:
    return json.dumps({"type": "message", "channel": channel, "n": number})


async def leave_behind(redis: Redis, channels: str, *, deliveries: int) -> None:
    """An event of each channel that handlers of a consumer that died have begun with so often."""
    await redis.xgroup_create(TOPIC, "default", id="0", mkstream=True)
    for number, channel in enumerate(channels):
        await redis.xadd(TOPIC, {"data": said(channel, number)})
    await redis.xreadgroup("default", "dead", {TOPIC: ">"}, count=len(channels))
    rows: Any = await redis.xrange(TOPIC)
    ids = [entry_id for entry_id, _ in rows]
    await redis.xclaim(TOPIC, "default", "dead", 0, ids, idle=60_000, retrycount=deliveries, justid=True)


@pytest.mark.promise("an event was delivered too often")
@pytest.mark.parametrize("limit", [1, 3])
async def test_an_event_starts_after_those_before_it_in_its_conversation_are_buried(
    make_backend: MakeBackend, redis: Redis, limit: int
) -> None:
    await leave_behind(redis, "AAB", deliveries=limit)
    await redis.xadd(TOPIC, {"data": said("A", 3)})
    at_start = list[tuple[int, set[bytes]]]()

    async def handle(event: Event) -> None:
        letters: Any = await redis.xrange(DEAD)
        at_start.append((event["n"], {fields[b"data"] for _, fields in letters}))

    async def is_over() -> bool:
        return len(at_start) == 1 and await redis.xlen(DEAD) == 3

    async with at_work(worker(make_backend(redis_stream_max_deliveries=limit), handle)):
        await until(is_over)
    ((number, letters),) = at_start
    assert number == 3
    assert {said("A", 0).encode(), said("A", 1).encode()} <= letters

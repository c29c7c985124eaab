"""A member of a group that has leased events ahead."""

from typing import Any

from redis.asyncio import Redis

from abe_redis import Event, EventStream, RedisMessageQueueBackend
from tests.integration.conftest import take

STREAM = "slack_events"
HOUR_MS = 3_600_000


async def ids_behind(redis: Redis, last: Event) -> list[Any]:
    """What is leased and was not handed out, since it stands behind what was."""
    rows: Any = await redis.xpending_range(STREAM, "default", f"({last.id}", "+", 1000)
    return [row["message_id"].decode() for row in rows if row["time_since_delivered"] < HOUR_MS]


async def lease_ahead(
    backend: RedisMessageQueueBackend, redis: Redis, *, events: int = 300
) -> tuple[EventStream, Event, list[Any]]:
    """A consumer that was so fast that more is leased to it; the last event it was given; and what more."""
    await backend.publish_many(STREAM, [{"n": number} for number in range(events)])
    stream = backend.consume()
    while True:  # a loaded machine may have been too slow for it
        last = (await take(stream, 20))[-1]
        if ahead := await ids_behind(redis, last):
            return stream, last, ahead

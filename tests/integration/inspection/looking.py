"""What somebody sees of the stream of these tests."""

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.schemas import StreamStats

STREAM = "slack_events"


async def seen(backend: RedisMessageQueueBackend) -> StreamStats:
    (found,) = (await Operations(backend).stream_stats(stream=STREAM)).streams
    return found

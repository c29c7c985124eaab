"""Since when who holds which event."""

from abe_redis.operations.operations import Operations
from abe_redis.schemas import ConsumerStats, EventView

STREAM = "slack_events"


async def consumer_in(operations: Operations) -> ConsumerStats:
    (stream,) = (await operations.stream_stats(stream=STREAM)).streams
    return stream.groups[0].consumers[0]


async def pending_in(operations: Operations) -> EventView:
    (event,) = (await operations.pending(stream=STREAM, group="default")).events
    return event

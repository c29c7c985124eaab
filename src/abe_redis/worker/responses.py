"""The results of handlers, published to a stream of their own."""

import logging
from typing import Any

import anyio

from abe_redis.errors import OutboxError, RedisRefusedError, RedisUnavailableError
from abe_redis.events.event import Event
from abe_redis.events.log_fields import of_event
from abe_redis.worker.protocols import Queue
from abe_redis.worker.threads import current_slot

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


async def respond(queue: Queue, stream: str, event: Event, result: Any) -> None:  # noqa: ANN401 - the handler's
    """Publish a result, and try again until Redis takes it: its handler succeeded, and must not run again.

    Args:
        queue: Where to.
        stream: The stream.
        event: What the handler handled.
        result: What it returned.

    Raises:
        PayloadError: The result is nothing that can be published.
        AbeRedisError: The queue is closed, or no stream can have that name.
    """
    response = {"type": "response", "stream": event.stream, "in_reply_to": event.id, "result": result}
    # A redelivered event answers once.
    event_id = f"{event.group}:{event.stream}:{event.id}"
    is_told, slot = False, current_slot()
    if slot is not None:
        slot.responds_to = stream
    while True:
        try:
            published = await queue.publish_event(stream, response, event_id=event_id)
        except (RedisUnavailableError, RedisRefusedError, OutboxError) as error:
            if not is_told:
                said = (error, event.id, event.stream)
                _LOG.error("%s The result of event %s of %r waits.", *said, extra=of_event(event))
                is_told = True
            await anyio.sleep(_PAUSE_SECONDS)
        else:
            if published.duplicate:
                _LOG.info(
                    "The result of event %s of %r is not published: an earlier one is in %r.",
                    *(event.id, event.stream, stream),
                    extra=of_event(event),
                )
            return

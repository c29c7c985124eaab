"""What a queue is to an `EventWorker`, whatever stands behind."""

from typing import Any, Protocol

from abe_redis.consuming.event_stream import EventStream
from abe_redis.events.published import Published
from abe_redis.settings import Settings
from abe_redis.streams.names import Patterns


class Queue(Protocol):
    """A back end, as an `EventWorker` uses it."""

    settings: Settings
    patterns: Patterns

    async def publish_event(
        self, key: str, payload: dict[str, Any], *, event_id: str | None = None, origin: str | None = None
    ) -> Published:
        """Add an event, and say what became of it."""

    def consume(self, *, group: str | None = None) -> EventStream:
        """The events of every stream that is read, as they come."""

    def consume_ordered(self, *, group: str | None = None) -> EventStream:
        """The same, in the order of each conversation."""

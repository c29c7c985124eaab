"""The interface of a backend for an `EventWorker`."""

from typing import Any, Protocol

from abe_redis.consuming.event_stream import EventStream
from abe_redis.events.published import Published
from abe_redis.settings import Settings
from abe_redis.streams.patterns import Patterns


class Queue(Protocol):
    """A backend, as an `EventWorker` uses it."""

    settings: Settings
    patterns: Patterns

    async def publish_event(
        self, key: str, payload: dict[str, Any], *, event_id: str | None = None, origin: str | None = None
    ) -> Published:
        """Add an event, and return the result."""

    def consume(self, *, group: str | None = None) -> EventStream:
        """The events of all streams, as they come."""

    def consume_ordered(self, *, group: str | None = None) -> EventStream:
        """The same, in the order of each conversation."""

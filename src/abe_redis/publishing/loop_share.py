"""The part of a backend that belongs to one event loop: its connections, and the publisher that uses them."""

import asyncio
from collections.abc import AsyncGenerator

import anyio

from abe_redis.client.connections import Connections
from abe_redis.publishing.partitioner import Conversation
from abe_redis.publishing.publisher import Publisher
from abe_redis.runtime import tasks
from abe_redis.settings import Settings
from abe_redis.streams.patterns import Patterns


class LoopShare:
    """Opens the connections on first use, and closes them on request or when the loop ends."""

    def __init__(
        self,
        settings: Settings,
        patterns: Patterns,
        conversation: Conversation | None,
        *,
        forwards: bool = True,
    ) -> None:
        self.publisher = Publisher(settings, patterns, self.connections, conversation)
        self._settings = settings
        self._forwards = forwards
        self._connections: Connections | None = None
        self._changing = anyio.Lock()
        self._end: AsyncGenerator[None] | None = None
        self._start: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connections are open."""
        return self._connections is not None

    def forward(self) -> None:
        """Forward what an earlier process left in the outbox, though nobody publishes yet."""
        outbox = self.publisher.outbox
        if self._forwards and outbox is not None and outbox.exists and self._start is None:
            self._start = asyncio.create_task(self._forward(), name="abe-redis outbox start")

    async def _forward(self) -> None:
        async with self._changing:
            await self._end_with_the_loop()

    async def connections(self) -> Connections:
        """The connections, opened on first use."""
        if self._connections is not None:
            return self._connections
        async with self._changing:
            if self._connections is None:
                self._connections = await Connections.open(self._settings)
                await self._end_with_the_loop()
            return self._connections

    async def _end_with_the_loop(self) -> None:
        """Start what runs beside the callers; it ends on request, or with the loop."""
        if self._end is None:
            self._end = self._until_the_end()
            await anext(self._end)
        if self._forwards and self.publisher.outbox is not None:
            self.publisher.outbox.start()

    async def _until_the_end(self) -> AsyncGenerator[None]:
        """Close on request, or when the loop ends, which closes such generators."""
        try:
            yield
        finally:
            self._end = None
            await self._close()

    async def close(self) -> None:
        """Stop forwarding from the outbox, and close the connections."""
        if self._start is not None:
            await tasks.end(self._start)
        await self._close()
        if self._end is not None:
            await self._end.aclose()

    async def _close(self) -> None:
        async with self._changing:
            if self.publisher.outbox is not None:
                await self.publisher.outbox.close()
            connections, self._connections = self._connections, None
            if connections is not None:
                try:
                    await connections.close()
                except BaseException:  # the next call closes the rest
                    self._connections = connections
                    raise

    def forsake(self) -> None:
        """Release the resources of a loop that ended without closing them."""
        if self.publisher.outbox is not None:
            self.publisher.outbox.forsake()
        if self._connections is not None:
            self._connections.forsake()

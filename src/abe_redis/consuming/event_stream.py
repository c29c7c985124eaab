"""What a caller of `consume()` holds in the hand."""

from collections.abc import Awaitable
from types import TracebackType
from typing import Self

import anyio

from abe_redis.consuming.protocols import ConsumerProtocol
from abe_redis.events.event import Event


class EventStream:
    """What `consume()` returns: an asynchronous iterator of events.

    It is an object, not a generator: yielding inside a task group would break cancellation, and a
    generator kept alive by a traceback would hold its event for ever. Dropping it gives the
    events it holds back.
    """

    def __init__(self, member: ConsumerProtocol) -> None:
        self.behind = member
        """What runs behind it, for a caller that holds several events at a time."""

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Event]:
        """Acknowledge the event before, and wait for the next.

        Raises:
            StopAsyncIteration: It was closed.
            AbeRedisError: Redis refused us for a reason that waiting does not cure.
        """
        return self.behind.next()

    @property
    def consumer(self) -> str:
        """The name under which its events are leased."""
        return self.behind.name

    async def aclose(self) -> None:
        """Give back what is held and stop; the event in hand counts as not processed."""
        await self.behind.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose()

    def __del__(self) -> None:
        self.behind.abandon()

"""The iterator that `consume()` returns."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio

from abe_redis.consuming.protocols import ConsumerProtocol
from abe_redis.errors import ForkedError
from abe_redis.events.event import Event
from abe_redis.runtime import fork


class EventStream:
    """An asynchronous iterator of events.

    It is an object, not a generator: yielding inside a task group would break cancellation, and a
    generator kept alive by a traceback would hold its event for ever. Dropping it gives the
    events it holds back.
    """

    def __init__(
        self, member: ConsumerProtocol, *, anew: Callable[[], ConsumerProtocol] | None = None
    ) -> None:
        """Iterate over the events of a consumer.

        Args:
            member: The consumer.
            anew: Makes another consumer, for a process that was forked before the first call.
        """
        self._member = member
        self._anew = anew
        self._begun = False
        self._generation = fork.generation()

    @property
    def behind(self) -> ConsumerProtocol:
        """The consumer behind it, for a caller that holds several events at a time.

        Raises:
            ForkedError: It was begun in the parent process.
        """
        if self._generation != fork.generation():
            if self._begun or self._anew is None:
                raise ForkedError
            fork.leave_alone(self._member)
            self._member, self._generation = self._anew(), fork.generation()
        return self._member

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Event]:
        """Ack the previous event, and wait for the next one.

        Raises:
            StopAsyncIteration: It was closed.
            AbeRedisError: Redis refused us for a reason that waiting does not fix.
        """
        behind = self.behind
        self._begun = True
        return behind.next()

    @property
    def consumer(self) -> str:
        """The name under which its events are leased."""
        return self.behind.name

    async def aclose(self) -> None:
        """Release the held events and stop; the current event counts as not processed."""
        if self._generation == fork.generation():  # else it belongs to the parent
            await self._member.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose()

    def __del__(self) -> None:
        if self._generation == fork.generation():
            self._member.abandon()

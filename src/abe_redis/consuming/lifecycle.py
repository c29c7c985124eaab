"""A consumer's life: its background tasks, in the event loop of its first call, until it is closed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import anyio

from abe_redis.client import failures
from abe_redis.errors import AbeRedisError, ForkedError, WrongLoopError
from abe_redis.observability import loop_watch
from abe_redis.runtime import fork, tasks
from abe_redis.runtime.per_loop import run_in, running_loop
from abe_redis.sanitize.secrets import mask

_LOG = logging.getLogger(__name__)

_LEAST_STANDSTILL_SECONDS = 0.5
"""Shortest standstill of the loop that is reported; a busy machine causes shorter ones."""

_MOST_SAID = 300
"""Characters of a failure at the end that are logged."""

CLOSE_SECONDS = 2.0
"""Time that closing may take to ack and release events; the leases of the others have to expire."""


class Lifecycle:
    """Starts the tasks of a consumer once, keeps the failure of one for its caller, and ends them once."""

    def __init__(
        self,
        group: str,
        name: str,
        *,
        lease_seconds: float,
        wake: Callable[[], None],
        end_handlers: Callable[[], Awaitable[None]],
        end_reads: Callable[[], Awaitable[None]],
        let_go: Callable[[], Awaitable[None]],
        may_hold: Callable[[], bool],
        on_closed: Callable[[], None],
    ) -> None:
        """Start nothing yet.

        Args:
            group: The group of the consumer.
            name: The name of the consumer.
            lease_seconds: Its lease; a loop that stands still for a part of it is reported.
            wake: Wakes the waiting caller, because a task has failed or the consumer is closed.
            end_handlers: Ends the handlers that can be cancelled.
            end_reads: Ends what the tasks leave running.
            let_go: Acks and releases what the consumer holds.
            may_hold: Whether it has ever been able to hold anything.
            on_closed: Called at the very end.
        """
        self.closed = False
        """Whether closing has begun."""
        self.error: AbeRedisError | None = None
        """The failure of a task, for whoever asks for an event."""
        self._group = group
        self._name = name
        self._standstill_seconds = max(_LEAST_STANDSTILL_SECONDS, lease_seconds / 3)
        self._wake = wake
        self._end_handlers = end_handlers
        self._end_reads = end_reads
        self._let_go = let_go
        self._may_hold = may_hold
        self._on_closed = on_closed
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._closing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._generation = fork.generation()

    def check_process(self) -> None:
        """Refuse to go on in a forked child, where the tasks do not run.

        Raises:
            ForkedError: This process is such a child.
        """
        if self._generation != fork.generation():
            raise ForkedError

    def check_loop(self) -> None:
        """Refuse to go on in an event loop other than that of the tasks.

        Raises:
            WrongLoopError: This is another one.
        """
        if self._loop is not None and self._loop is not running_loop():
            raise WrongLoopError

    def start(self, work: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Start the tasks, unless they run already or the consumer is closed.

        Args:
            work: What each task does, by the task's name.
        """
        if not self._tasks and not self.closed:
            self._loop = running_loop()
            loop_watch.of_running_loop().join(self._standstill_seconds)
            self._tasks = tuple(
                asyncio.create_task(self._until_it_fails(one), name=f"abe-redis {name}")
                for name, one in work.items()
            )

    async def _until_it_fails(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a background task, and pass its failure to the waiting caller."""
        try:
            await work()
        except asyncio.CancelledError:
            if not self.closed:  # the loop's owner cancelled all its tasks
                self.error = AbeRedisError("A task of this consume() was cancelled. Call consume() again.")
                self._wake()
            raise
        except AbeRedisError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - a bug of ours, too
            _LOG.exception("The consumer of group %r failed.", self._group)
            self.error = AbeRedisError(f"The consumer failed unexpectedly: {type(error).__name__}.")
        self._wake()

    async def close(self) -> None:
        """End the tasks and let go of everything; at once and for all callers."""
        if self._loop is None or self._loop is running_loop():
            await asyncio.shield(self._close_soon())
        else:  # if the loop no longer runs, the leases of its events have to expire
            await run_in(self._loop, self.close)

    def abandon(self) -> None:
        """Close soon, because no caller is left; callable from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and self._closing is None:
            loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"abe-redis close {self._name}")
        return self._closing

    async def _close(self) -> None:
        self.closed = True
        try:
            if self._tasks:
                loop_watch.of_running_loop().leave(self._standstill_seconds)
                await self._end_handlers()
                for task in self._tasks:
                    await tasks.end(task)
                await self._end_reads()
                with anyio.fail_after(CLOSE_SECONDS):
                    await self._let_go()
        except (*failures.FAILURES, AbeRedisError) as error:
            _LOG.log(
                logging.WARNING if self._may_hold() else logging.DEBUG,
                "Consumer %r could not release its events (%s: %s); they come again after their lease.",
                *(self._name, type(error).__name__, " ".join(mask(str(error)).split())[:_MOST_SAID]),
            )
        finally:
            self._wake()
            self._on_closed()

"""Blocking reads in progress: one for all streams; several for very many, and in a cluster one per slot.

Each has a connection of its own and waits at the server until an entry comes. When one returns, the others go
on waiting.
"""

import asyncio
from collections.abc import Callable, Container, Coroutine, Sequence
from itertools import batched
from typing import Any

from abe_redis.client.commands import Client
from abe_redis.runtime import tasks

_LATE_SECONDS = 0.2
"""How much later than asked a server ends its waits, at most, unless its clock was set back meanwhile."""

_OVERDUE_SECONDS = 2.0
"""How much longer than asked a read may take before it is given up: its server's clock was set back. That is
below the time after which its connection takes the server for silent."""

MOST_STREAMS = 1000
"""Streams that one blocking read names: the server looks at all of them, and does so again with each read."""


class BlockingReads[T]:
    """The blocking reads of one consumer, which must end them."""

    def __init__(self, *, leases: bool) -> None:
        """Read nothing yet.

        Args:
            leases: Whether the reads lease what they find. Others are given up here when they are overdue,
                and begun anew.
        """
        self._leases = leases
        self._under_way: dict[str, asyncio.Task[list[T]]] = {}
        """The reads, each by its first stream."""
        self._overdue_at: dict[str, float] = {}
        """When each is overdue, by the event loop's clock, which nobody sets."""
        self._failure: BaseException | None = None
        self._waker: asyncio.Future[None] | None = None
        """Done when `wait` is to return early."""

    @property
    def are_under_way(self) -> bool:
        """Whether a read is in progress, or has a result that is not collected yet."""
        return bool(self._under_way)

    @property
    def overdue(self) -> set[str]:
        """The reads, each by its first stream, that a server with a clock set back may not end for long."""
        now = asyncio.get_running_loop().time()
        return {
            key for key, task in self._under_way.items() if not task.done() and now >= self._overdue_at[key]
        }

    async def wait(
        self,
        redis: Client,
        streams: Sequence[str],
        read: Callable[[Sequence[str]], Coroutine[Any, Any, list[T]]],
        *,
        seconds: float,
        may_wake: bool = False,
    ) -> list[T]:
        """Wait for entries of any stream. `collect` returns the results that come later.

        It ends by our own clock: a server whose clock is set back ends no wait until that has caught up.

        Args:
            streams: All of them.
            read: Waits for entries of some of them, for about that time.
            seconds: The longest time to wait, but for what a server may be late.
            may_wake: Whether `wake` ends the wait; the reads go on.

        Raises:
            redis.RedisError: A read failed; it may have leased entries whose answer was lost.
        """
        if self._failure is not None:
            return self.collect()
        overdue_at = asyncio.get_running_loop().time() + seconds + _OVERDUE_SECONDS
        groups = [list(part) for group in redis.by_slot(streams) for part in batched(group, MOST_STREAMS)]
        if not groups and not self._under_way:  # the last stream was deleted in the meantime
            return []
        for group in groups:
            if group[0] not in self._under_way:
                self._under_way[group[0]] = asyncio.create_task(read(group))
                self._overdue_at[group[0]] = overdue_at
        self._waker = asyncio.get_running_loop().create_future()
        until: set[asyncio.Future[Any]] = {*self._under_way.values(), self._waker}
        timeout = seconds if may_wake else seconds + _LATE_SECONDS
        await asyncio.wait(until, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return self.collect()

    def wake(self) -> None:
        """Let `wait` return now, without a result if there is none."""
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def collect(self) -> list[T]:
        """The results so far.

        Raises:
            redis.RedisError: As for `wait`; the results of the other reads were collected before.
        """
        if not self._leases:
            self.give_up(self.overdue)
        news: list[T] = []
        for key, task in list(self._under_way.items()):
            if task.done():
                del self._under_way[key]
                if (error := task.exception()) is None:
                    news += task.result()
                else:
                    self._failure = error
        if self._failure is not None and not news:
            failure, self._failure = self._failure, None
            raise failure
        return news

    def give_up(self, streams: Container[str]) -> None:
        """End the reads of some streams, as of those whose node is away; the others go on."""
        for key in [key for key in self._under_way if key in streams]:
            task = self._under_way.pop(key)
            task.add_done_callback(lambda one: one.cancelled() or one.exception())  # which is known
            task.cancel()

    async def end(self) -> None:
        """End all reads, and drop their results."""
        under_way, self._under_way, self._failure = self._under_way, {}, None
        for task in under_way.values():
            await tasks.end(task)
            if not task.cancelled():
                task.exception()  # its failure no longer matters

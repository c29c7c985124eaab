"""Calls the outbox's file, which blocks, in a thread."""

from collections.abc import Callable
from pathlib import Path

import anyio

from abe_redis.publishing import outbox_failures
from abe_redis.runtime import fork_rest


class FileThread:
    """Makes one call at a time.

    A call that has begun runs to its end, even if its caller is cancelled and does not wait for that. A call
    whose caller is cancelled before, or that gets no thread, is never made.
    """

    def __init__(self, path: Path) -> None:
        """Begin without a call.

        Args:
            path: The file, for what errors say.
        """
        self._path = path
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def run[*A, T](self, call: Callable[[*A], T], *args: *A) -> T:
        """Make a call, and return its result.

        Raises:
            OutboxError: The process has no thread or no memory for it.
        """
        try:
            return await fork_rest.in_thread(call, *args, limiter=self._one_at_a_time)
        except (RuntimeError, MemoryError) as error:
            raise outbox_failures.unforeseen(self._path, error) from error

"""One of something for each event loop: connections and tasks belong to the loop that made them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from abe_redis.runtime import fork, fork_rest

_LOOK_SECONDS = 0.1


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that runs in this thread.

    Raises:
        RuntimeError: There is none, or it is not asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "No event loop of asyncio runs in this thread. Call abe-redis in a coroutine that asyncio.run() "
            "runs; trio's loop does not serve. A program without a loop uses SyncBackend."
        ) from None


class PerLoop[T]:
    """Makes one `T` for each event loop that asks for it, and anew after a fork.

    It may be used from several threads, each with a loop of its own.
    """

    def __init__(self, make: Callable[[], T], *, forsake: Callable[[T], None]) -> None:
        """Say how one is made.

        Args:
            make: Makes one, in the running loop.
            forsake: Releases one whose loop has ended, without awaiting anything.
        """
        self._make = make
        self._forsake = forsake
        self._made: dict[asyncio.AbstractEventLoop, T] = {}
        self._generation = fork.generation()

    def here(self) -> T:
        """The one of the running loop.

        Raises:
            RuntimeError: No loop of asyncio is running in this thread.
        """
        loop = running_loop()
        if self._generation == fork.generation() and (found := self._made.get(loop)) is not None:
            return found
        fork_rest.rests(loop)
        self._sweep()
        made = self._made[loop] = self._make()
        return made

    async def end(self, close: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        """Close all, each in its own loop; those whose loop does not run any more are forsaken.

        One whose closing fails or is cancelled is closed by the next call.
        """
        self._sweep()
        for loop, one in self._take():
            try:
                is_closed = await run_in(loop, partial(close, one))
            except BaseException:
                self._made.setdefault(loop, one)
                raise
            if not is_closed:
                self._forsake(one)

    def _take(self) -> Iterator[tuple[asyncio.AbstractEventLoop, T]]:
        for loop in list(self._made):
            if (one := self._made.pop(loop, None)) is not None:
                yield loop, one

    def _sweep(self) -> None:
        """Release those whose loop is closed, and all that belong to another process."""
        if self._generation != fork.generation():
            self._generation = fork.generation()
            fork.leave_alone(self._made)
            self._made = {}
        for loop in list(self._made):
            if loop.is_closed() and (one := self._made.pop(loop, None)) is not None:
                self._forsake(one)


async def run_in(loop: asyncio.AbstractEventLoop, call: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Run a coroutine in the loop that it belongs to, which may run in another thread.

    Returns:
        Whether it was run to its end; False when that loop does not run.
    """
    if loop is running_loop():
        await call()
        return True
    if not loop.is_running():
        return False
    ended = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))
    while loop.is_running():
        await asyncio.wait([ended], timeout=_LOOK_SECONDS)
        if ended.done():
            ended.result()
            return True
    return False

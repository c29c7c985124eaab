"""A timer that can be set again any number of times."""

import asyncio
from collections.abc import Callable

from abe_redis.runtime import clock


class Timer:
    """Calls something at a time by `clock.now`."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Ring at this time only; None: never."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            seconds = max(0.0, at - clock.now())
            self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

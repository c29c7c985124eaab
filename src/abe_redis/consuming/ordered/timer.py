"""A timer that can be set again any number of times."""

import asyncio
import math
from collections.abc import Callable

from abe_redis.runtime import clock


class Timer:
    """Calls something at a time by `clock.now`."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf

    def set(self, at: float | None) -> None:
        """Ring at this time only; None: never."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at = math.inf if at is None else at
        if at is not None:
            seconds = max(0.0, at - clock.now())
            self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def bring_forward(self, at: float) -> None:
        """Ring at this time, unless it rings earlier."""
        if at < self._at:
            self.set(at)

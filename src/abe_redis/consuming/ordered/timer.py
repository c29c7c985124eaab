"""One timer that is set anew as often as one likes."""

import asyncio
import time
from collections.abc import Callable


class Timer:
    """Calls something at a monotonic time."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Ring at this time and at no other; None: not at all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            seconds = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

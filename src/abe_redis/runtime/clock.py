"""The clock that measures leases. It runs while the machine is suspended.

The monotonic clock of most systems stands still during that time, so an expired lease would look fresh to a
process that wakes. The wall clock alone is no better: it is set, forward and back.
"""

import math
import sys
import time
from collections.abc import Callable
from functools import partial

_JUMP_SECONDS = 1.0
"""Advance of the wall clock over the other one that may have been a pause; what NTP slews is far less."""


class LeaseClock:
    """A clock that runs during suspension, and the wall clock as a second witness of pauses."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self.now = now
        self._wall = wall
        self._lead = wall() - now()
        self._doubted_at = -math.inf

    def doubted_at(self) -> float:
        """When, by `now`, the wall clock last jumped ahead; minus infinity when it never did.

        Such a jump is the only sign of a pause that the other clock does not show: a virtual machine was
        stopped with all its clocks and its wall clock was set afterwards, or all clocks of the system stand
        still. A consumer that got a lease before the jump asks Redis whether it still holds it.
        """
        now = self.now()
        lead = self._wall() - now
        if lead - self._lead > _JUMP_SECONDS:
            self._doubted_at = now
        self._lead = lead
        return self._doubted_at


def best_source(platform: str) -> Callable[[], float]:
    """The system's clock that runs during suspension, or the monotonic clock if there is none."""
    # On macOS, its name is the one of a clock on Linux that stands still.
    name = "CLOCK_MONOTONIC" if platform == "darwin" else "CLOCK_BOOTTIME"
    number: int | None = getattr(time, name, None)
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:  # the kernel or the sandbox does not have it
        return time.monotonic
    return partial(time.clock_gettime, number)


_CLOCK = LeaseClock(best_source(sys.platform), time.time)

now = _CLOCK.now
"""Seconds since some time in the past, including those of suspensions."""

doubted_at = _CLOCK.doubted_at
"""Time, by `now`, of the last possible pause that it does not show."""

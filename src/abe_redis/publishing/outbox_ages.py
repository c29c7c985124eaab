"""How long an event has waited in the outbox, though the wall clock may be set back meanwhile."""

import math
import time

from abe_redis.runtime import clock

_STEP_SECONDS = 1.0
"""Least step; what a time service slews between two looks is far less."""


class Ages:
    """Ages by the wall clock, corrected by its steps back that this process sees.

    Which of the times that the clock shows twice is meant is not known; then it is taken for the older one.
    """

    def __init__(self) -> None:
        self._lead = time.time() - clock.now()
        self._steps: list[tuple[float, float]] = []
        """Each step: until which time a time is from before it, and how far it went back."""

    def look(self) -> None:
        """Note a step since the last look."""
        now = time.time()
        lead = now - clock.now()
        if (back := self._lead - lead) > _STEP_SECONDS:
            self._steps.append((now + back, back))
        self._lead = lead

    def most(self, since: float) -> float:
        """Seconds since a time by the wall clock, at most; infinite if that is still to come."""
        self.look()
        age = time.time() - since + sum(back for until, back in self._steps if since <= until)
        return age if age > -_STEP_SECONDS else math.inf

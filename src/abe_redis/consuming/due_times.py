"""When the events that a consumer has postponed are due, so that it looks for them at that time."""

import heapq
import math
from collections.abc import Collection

STEP_SECONDS = 0.05
"""Times are rounded up to a multiple of this, so delays let a consumer look 20 times a second at most."""

LONGEST_SECONDS = 60.0
"""Longest delay that is noted: who waits longer may wait for the next round as well."""

_SLOWEST = 1.001
"""How long a second may last by this process's clock: Redis decides by its own what is due."""

_ROUNDED_SECONDS = 0.001
"""Redis counts milliseconds."""


class DueTimes:
    """The streams to look at for postponed events, and when. What others have postponed, the rounds find."""

    def __init__(self) -> None:
        self._streams: dict[int, set[str]] = {}
        """By the number of a step, the streams in which something is due then."""
        self._steps: list[int] = []
        """The same numbers, as a heap."""

    @property
    def next_at(self) -> float:
        """The time of the next look, by `clock.now`; infinite when nothing is postponed."""
        return self._steps[0] * STEP_SECONDS if self._steps else math.inf

    def note(self, stream: str, now: float, delay: float) -> None:
        """Note that Redis has postponed an event of a stream; without a delay, it comes before new events."""
        if delay == 0:
            self.look_again([stream], now)
        elif delay <= LONGEST_SECONDS:
            at = now + _ROUNDED_SECONDS + delay * _SLOWEST
            self._add(math.ceil(at / STEP_SECONDS), [stream])

    def look_again(self, streams: Collection[str], now: float) -> None:
        """Look at streams once more, and at once: the last look found as much as it could take."""
        self._add(math.floor(now / STEP_SECONDS), streams)

    def _add(self, step: int, streams: Collection[str]) -> None:
        if step not in self._streams:
            self._streams[step] = set()
            heapq.heappush(self._steps, step)
        self._streams[step].update(streams)

    def take(self, now: float, ready: Collection[str]) -> list[str]:
        """The streams to look at by now, of those that are read; each time is told once."""
        due = set[str]()
        while self.next_at <= now:
            due |= self._streams.pop(heapq.heappop(self._steps))
        return sorted(due.intersection(ready))

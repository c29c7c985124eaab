"""Rates from several samples: entries added per second, and entries finished per second."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from abe_redis.schemas import GroupStats, StreamStats

_WINDOW_SECONDS = 15.0
"""Time over which a rate is taken: long enough to be steady, short enough to be current."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    added: int | None
    unfinished: dict[str, int | None]


@dataclass(slots=True)
class Rates:
    """Samples of each stream, those of the last seconds."""

    clock: Callable[[], float] = time.monotonic
    _samples: dict[str, deque[_Sample]] = field(default_factory=dict)

    def remember(self, streams: Sequence[StreamStats]) -> None:
        """Take a sample of all streams."""
        now = self.clock()
        known = {one.stream for one in streams}
        self._samples = {name: samples for name, samples in self._samples.items() if name in known}
        for one in streams:
            samples = self._samples.setdefault(one.stream, deque())
            if samples and (one.added or 0) < (samples[-1].added or 0):
                samples.clear()  # the stream was deleted and created again
            samples.append(_Sample(now, one.added, {group.name: _unfinished(group) for group in one.groups}))
            while len(samples) > 2 and samples[1].at < now - _WINDOW_SECONDS:  # noqa: PLR2004 - a first and a last
                samples.popleft()

    def added(self, stream: StreamStats) -> float | None:
        """Entries added per second; None before the second sample."""
        return self._per_second(stream, lambda sample: sample.added)

    def finished(self, stream: StreamStats, group: GroupStats) -> float | None:
        """Entries that a group finishes per second; None before the second sample."""

        def done(sample: _Sample) -> int | None:
            left = sample.unfinished.get(group.name)
            return None if left is None or sample.added is None else sample.added - left

        return self._per_second(stream, done)

    def _per_second(self, stream: StreamStats, value: Callable[[_Sample], int | None]) -> float | None:
        samples = self._samples.get(stream.stream)
        if not samples or samples[-1].at <= samples[0].at:
            return None
        first, last = value(samples[0]), value(samples[-1])
        if first is None or last is None:
            return None
        return max(0.0, (last - first) / (samples[-1].at - samples[0].at))


def _unfinished(group: GroupStats) -> int | None:
    """Entries that it has not finished, lost ones included; None when Redis does not know."""
    return None if group.lag is None else group.pending + group.lag + group.lost

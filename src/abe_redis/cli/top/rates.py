"""What several looks say together: how much comes, and how much is finished."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from abe_redis.schemas import GroupStats, StreamStats

_WINDOW_SECONDS = 15.0
"""Over which a rate is taken: long enough to stand still, short enough to be news."""


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    added: int | None
    unfinished: dict[str, int | None]


@dataclass(slots=True)
class Rates:
    """Looks at streams, the newest of the last seconds."""

    clock: Callable[[], float] = time.monotonic
    _looks: dict[str, deque[_Look]] = field(default_factory=dict)

    def remember(self, streams: Sequence[StreamStats]) -> None:
        """Take in a look at all streams."""
        now = self.clock()
        known = {one.stream for one in streams}
        self._looks = {name: looks for name, looks in self._looks.items() if name in known}
        for one in streams:
            looks = self._looks.setdefault(one.stream, deque())
            if looks and (one.added or 0) < (looks[-1].added or 0):
                looks.clear()  # deleted and made anew
            looks.append(_Look(now, one.added, {group.name: _unfinished(group) for group in one.groups}))
            while len(looks) > 2 and looks[1].at < now - _WINDOW_SECONDS:  # noqa: PLR2004 - a first and a last
                looks.popleft()

    def added(self, stream: StreamStats) -> float | None:
        """Entries that come in a second; None before the second look."""
        return self._per_second(stream, lambda look: look.added)

    def finished(self, stream: StreamStats, group: GroupStats) -> float | None:
        """Entries that a group finishes in a second; None before the second look."""

        def done(look: _Look) -> int | None:
            left = look.unfinished.get(group.name)
            return None if left is None or look.added is None else look.added - left

        return self._per_second(stream, done)

    def _per_second(self, stream: StreamStats, value: Callable[[_Look], int | None]) -> float | None:
        looks = self._looks.get(stream.stream)
        if not looks or looks[-1].at <= looks[0].at:
            return None
        first, last = value(looks[0]), value(looks[-1])
        if first is None or last is None:
            return None
        return max(0.0, (last - first) / (looks[-1].at - looks[0].at))


def _unfinished(group: GroupStats) -> int | None:
    """What it has yet to finish, or never will; None when Redis cannot tell."""
    return None if group.lag is None else group.pending + group.lag + group.lost

"""Which streams a consumer searches for entries to reclaim, and where it continues in each."""

import math
import random
from collections.abc import Collection

from abe_redis.streams.reclaim import FIRST, NOTHING_PENDING

MOST_IDLE = 400
"""Streams without pending entries that one round looks at, unless there are too many for a lease."""


class Rounds:
    """The rounds of one consumer.

    A round looks at every stream in which something was pending at the last look. It looks at a part of the
    others, so that each has its turn within half a lease. The lease of an entry taken from one of them lasts
    until that turn.
    """

    def __init__(self, *, lease_seconds: float, every_seconds: float) -> None:
        """Start with no stream.

        Args:
            lease_seconds: How long leases last.
            every_seconds: How often a round is made.
        """
        self.places: dict[str, str] = {}
        """Per stream, where to continue; see `reclaim`."""
        self._rounds = max(1, math.floor(lease_seconds / 2 / every_seconds))
        self._next = 0

    def expect(self, streams: Collection[str]) -> None:
        """Note that these streams have pending entries, or will have, so that the next rounds look there."""
        for stream in streams:
            if self.places.get(stream, NOTHING_PENDING) == NOTHING_PENDING:
                self.places[stream] = FIRST

    def next(self, ready: Collection[str]) -> list[str]:
        """The streams of the next round, in a different order each time, so that no stream is always last."""
        if len(self.places) > len(ready):
            self.places = {stream: place for stream, place in self.places.items() if stream in ready}
        chosen = list(ready)
        if len(chosen) > MOST_IDLE:
            each = max(MOST_IDLE, math.ceil(len(chosen) / self._rounds))
            begin = self._next if self._next < len(chosen) else 0
            self._next = begin + each
            part = dict.fromkeys(chosen[begin : self._next])
            part |= dict.fromkeys(one for one in chosen if self.places.get(one, NOTHING_PENDING))
            chosen = list(part)
        return random.sample(chosen, len(chosen))

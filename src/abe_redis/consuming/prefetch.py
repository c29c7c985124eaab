"""How far ahead a consumer leases: as far as its handler is fast."""

import time

FAST_SECONDS = 0.1
"""Events are leased ahead as far as the handler gets in this time, so a slow one holds none."""
SLOW_SECONDS = 1.0
"""What was leased ahead and not asked for in so long goes back, so that others get it meanwhile."""
MOST_AHEAD = 256
MOST_AHEAD_BYTES = 4 * 1024 * 1024
"""Bounds of that, for the events that one consumer leases ahead."""


class Prefetch:
    """How many events to lease ahead: twice as many when the last went fast, half when slow."""

    def __init__(self) -> None:
        self.ahead = 1
        self._delivered = 0
        self._since = 0.0

    @property
    def batch(self) -> int:
        """How many to lease at a time: half, so that the next are on their way while the last are handled."""
        return max(1, self.ahead // 2)

    def has_room(self, buffered: int) -> bool:
        """Whether to lease another batch when so many are buffered."""
        return buffered <= self.ahead - self.batch

    def note_batch(self, delivered: int, largest_bytes: int) -> None:
        """Note that a batch was leased.

        Args:
            delivered: How many events handlers have been given so far.
            largest_bytes: Size of the batch's largest payload.
        """
        now = time.monotonic()
        if delivered - self._delivered >= self.batch:
            fast = now - self._since < FAST_SECONDS
            self.ahead = self.ahead * 2 if fast else max(self.ahead // 2, 1)
            self._delivered, self._since = delivered, now
        self.ahead = min(self.ahead, MOST_AHEAD, max(1, MOST_AHEAD_BYTES // largest_bytes))

    def is_slow(self, delivered_at: float) -> bool:
        """Whether what is leased ahead should go back, since nobody has asked for it; then one at a time."""
        slow = time.monotonic() - delivered_at > SLOW_SECONDS
        if slow:
            self.ahead = 1
        return slow

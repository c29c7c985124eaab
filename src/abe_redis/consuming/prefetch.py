"""Prefetch: the faster the handler, the more events a consumer leases ahead."""

import time

FAST_SECONDS = 0.1
"""Prefetch covers this much time of the handler's work, so a slow handler has none."""
SLOW_SECONDS = 1.0
"""Time after which unused prefetched events are released, so that others get them."""
MOST_AHEAD = 256
MOST_AHEAD_BYTES = 4 * 1024 * 1024
"""Bounds of the prefetch of one consumer."""


class Prefetch:
    """Number of events to prefetch: doubled after a fast batch, halved after a slow one."""

    def __init__(self) -> None:
        self.ahead = 1
        self._delivered = 0
        self._since = 0.0

    @property
    def batch(self) -> int:
        """Number of events per batch: half of it, so that the next arrives while the last is handled."""
        return self.ahead // 2 or 1

    def has_room(self, buffered: int) -> bool:
        """Whether to lease another batch with this many in the buffer."""
        return buffered <= self.ahead - (self.ahead // 2 or 1)

    def note_batch(self, delivered: int, largest_bytes: int) -> None:
        """Note that a batch was leased.

        Args:
            delivered: Number of deliveries so far.
            largest_bytes: Size of the batch's largest payload.
        """
        now = time.monotonic()
        if delivered - self._delivered >= self.batch:
            fast = now - self._since < FAST_SECONDS
            self.ahead = self.ahead * 2 if fast else max(self.ahead // 2, 1)
            self._delivered, self._since = delivered, now
        self.ahead = min(self.ahead, MOST_AHEAD, max(1, MOST_AHEAD_BYTES // largest_bytes))

    def is_slow(self, delivered_at: float) -> bool:
        """Whether to release prefetched events because no caller asked for them; then fetch one at a time."""
        slow = time.monotonic() - delivered_at > SLOW_SECONDS
        if slow:
            self.ahead = 1
        return slow

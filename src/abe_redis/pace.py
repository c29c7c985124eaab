"""How far ahead a consumer leases: as far as its handler is fast."""

import time

FAST_SECONDS = 0.1
"""Events are leased ahead as far as the handler gets in this time, so a slow one holds none."""
SLOW_SECONDS = 1.0
"""What was leased ahead and not asked for in so long goes back, so that others get it meanwhile."""
MOST_AHEAD = 256
MOST_AHEAD_BYTES = 4 * 1024 * 1024
"""Bounds of that, for the events that one consumer leases ahead."""


class Pace:
    """How many events to lease at a time: twice as many when the last batch went fast, half when slow."""

    def __init__(self) -> None:
        self.ahead = 1
        self._batch_at = 0.0

    def note_batch(self, largest_bytes: int) -> None:
        """Note that a batch was leased, with the size of its largest payload."""
        now = time.monotonic()
        fast = now - self._batch_at < FAST_SECONDS
        most = min(MOST_AHEAD, max(1, MOST_AHEAD_BYTES // largest_bytes))
        self.ahead = min(self.ahead * 2 if fast else max(self.ahead // 2, 1), most)
        self._batch_at = now

    def is_slow(self, handed_out_at: float) -> bool:
        """Whether what is leased ahead should go back, since nobody has asked for it; then one at a time."""
        slow = time.monotonic() - handed_out_at > SLOW_SECONDS
        if slow:
            self.ahead = 1
        return slow

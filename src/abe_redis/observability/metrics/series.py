"""The series that have a stream: those of a stream that is gone can be removed, else they stay for ever."""

import threading
import time
from collections import Counter as Tally

from prometheus_client import Counter, Gauge, Histogram

UNUSED_SECONDS = 600
"""Time without an event after which Redis is asked whether a stream still exists."""


class SeriesOfStreams:
    """The series of each stream that this process has had to do with.

    Hooks call it in every thread that publishes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[str, dict[tuple[Counter | Gauge | Histogram, tuple[str, ...]], None]] = {}
        self._ask_at: dict[str, float] = {}
        self._at_work = Tally[str]()

    def of[Metric: (Counter, Gauge, Histogram)](self, metric: Metric, *labels: str, stream: str) -> Metric:
        """The series of a metric with these labels, one of which is the stream."""
        with self._lock:
            self._ask_at[stream] = time.monotonic() + UNUSED_SECONDS
            self._series.setdefault(stream, {})[metric, labels] = None
            return metric.labels(*labels)

    def begin(self, stream: str) -> None:
        """Keep the series of a stream while something is at work for it."""
        with self._lock:
            self._at_work[stream] += 1

    def end(self, stream: str) -> None:
        """Take back one `begin`."""
        with self._lock:
            self._at_work[stream] -= 1
            if not self._at_work[stream]:
                del self._at_work[stream]

    def unused(self) -> dict[str, float]:
        """The streams without an event for a while, with a mark for `forget`.

        It does not name them again for another while.
        """
        now = time.monotonic()
        with self._lock:
            idle = [one for one, at in self._ask_at.items() if at <= now and one not in self._at_work]
            found = dict.fromkeys(idle, now + UNUSED_SECONDS)
            self._ask_at |= found
        return found

    def forget(self, stream: str, mark: float) -> None:
        """Remove the series of a stream that is gone, unless it has had an event since `unused`."""
        with self._lock:
            if stream in self._at_work or self._ask_at.get(stream) != mark:
                return
            for metric, labels in self._series.pop(stream):
                metric.remove(*labels)
            del self._ask_at[stream]

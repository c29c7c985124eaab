"""Notices that the event loop stands still, and logs what blocks it; a thread of its own watches the loop.

While the loop stands still no lease is renewed, so other consumers get the events that are in flight here.
"""

import asyncio
import logging
import sys
import threading
import time
from weakref import WeakKeyDictionary, ref

from abe_redis.sanitize.exceptions import place_of_frame

_LOG = logging.getLogger(__name__)

_BUSY = 0.1
"""A process that was frozen has used no more of the processor's time than this part."""

_BEATS = 4
"""How often the loop shows that it runs, in the time that it may stand still."""


class LoopWatch:
    """Watches a loop for all who ask for that; the shortest of their bounds counts."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._thread_id = threading.get_ident()
        self._bounds: list[float] = []
        self._beat_at = time.monotonic()
        self._busy_at = time.process_time()
        self._timer: asyncio.TimerHandle | None = None
        self._ended: threading.Event | None = None
        """Tells the thread that nobody needs it any more; each thread has its own."""
        self._told = False
        """Whether the present standstill was logged."""

    @property
    def _interval(self) -> float:
        return min(self._bounds, default=1.0) / _BEATS

    def join(self, seconds: float) -> None:
        """Warn from now on when the loop stands still for longer than this."""
        self._bounds.append(seconds)
        if self._timer is not None:
            self._timer.cancel()
        self._beat()
        if self._ended is None:
            self._ended = threading.Event()
            name, what_ends_it = "abe-redis loop watch", (self._ended,)
            threading.Thread(target=self._look, args=what_ends_it, name=name, daemon=True).start()

    def leave(self, seconds: float) -> None:
        """Take back a `join` of the same bound."""
        self._bounds.remove(seconds)
        if not self._bounds and self._timer is not None and self._ended is not None:
            self._timer.cancel()
            self._ended.set()
            self._timer = self._ended = None

    # In the loop ------------------------------------------------------------------------------

    def _beat(self) -> None:
        now, busy = time.monotonic(), time.process_time()
        if self._timer is not None:
            stood_still = now - self._beat_at - self._interval
            if self._told:
                _LOG.warning("The event loop runs again; it stood still for %.1f s.", stood_still)
            elif stood_still > min(self._bounds) and busy - self._busy_at > stood_still * _BUSY:
                # Then no thread could run either, but the process was not frozen: it used the processor.
                _LOG.warning(
                    "The event loop stood still for %.1f s, and so did every thread: something such as a "
                    "regular expression or an extension in C kept Python to itself. %s",
                    *(stood_still, _ADVICE),
                )
        self._told, self._beat_at, self._busy_at = False, now, busy
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._beat)

    # In the thread ----------------------------------------------------------------------------

    def _look(self, ended: threading.Event) -> None:
        looked_at = time.monotonic()
        # A loop that was closed beside an open consumer never says that it is done.
        while not ended.wait(self._interval) and self._lives():
            now = time.monotonic()
            did_run = now - looked_at < 2 * self._interval  # else the process was frozen, and the loop, too
            looked_at = now
            stood_still = now - self._beat_at - self._interval
            if did_run and not self._told and stood_still > min(self._bounds, default=now):
                self._told = True
                frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - documented, in spite of its name
                where = f" at {place_of_frame(frame)}" if frame is not None else ""
                _LOG.warning("The event loop has stood still for %.1f s%s. %s", stood_still, where, _ADVICE)
        if not ended.is_set():
            self._timer = None  # which keeps the closed loop in memory

    def _lives(self) -> bool:
        loop = self._loop()
        return loop is not None and not loop.is_closed()


_ADVICE = (
    "Until it runs again no lease is renewed, so others get the events in flight here. Await what takes "
    "long, or make the handler a plain function, which runs in a thread."
)

_watches: "WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWatch]" = WeakKeyDictionary()


def of_running_loop() -> LoopWatch:
    """The watch of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _watches:
        _watches[loop] = LoopWatch(loop)
    return _watches[loop]

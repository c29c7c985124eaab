"""A worker on a machine that is suspended: stopped by a signal, and then its monotonic clock has stood still.

Usage: python suspended.py URL LEASE_SECONDS ordered|unordered FILE. Each start of a handler is a line there.
"""

import asyncio
import os
import sys
import threading
import time

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings

_STEP_SECONDS = 0.005
_LONGEST_STEP_SECONDS = 0.25  # what takes longer was a suspension, and does not count


class StandingStill:
    """A monotonic clock that counts no time in which the process was stopped."""

    def __init__(self) -> None:
        self._really = time.monotonic
        self._last = self._shown = self._really()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_STEP_SECONDS)
            now = self._really()
            self._last, self._shown = now, self._shown + min(now - self._last, _LONGEST_STEP_SECONDS)

    def __call__(self) -> float:
        return self._shown + min(max(0.0, self._really() - self._last), _STEP_SECONDS)


async def main(url: str, lease_seconds: float, how: str, path: str) -> None:
    """Handle events until killed."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle(event: Event) -> None:
        os.write(log, f"{os.getpid()} {event['n']}\n".encode())
        await asyncio.sleep(0.03)

    async with RedisMessageQueueBackend(
        Settings(redis_url=url, redis_stream_lease_seconds=lease_seconds)
    ) as backend:
        await EventWorker(backend, handle, ordered=how == "ordered").run()


if __name__ == "__main__":
    time.monotonic = StandingStill()
    _, given_url, lease, kind, file = sys.argv
    asyncio.run(main(given_url, float(lease), kind, file))

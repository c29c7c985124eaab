"""Where publishes wait for what ended processes left in the outbox, one behind the other in each stream."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from abe_redis.publishing.outbox_inherited import Inherited, Standing

LOOK_SECONDS = 2.0
"""Time for which publishes wait until it is known what ended processes left, from the first one on."""

OLDER_SECONDS = 1.0
"""Time for which they wait until that is forwarded, from the first one on."""

_PAUSE_SECONDS = 0.02


class Queue:
    """The publishes that wait, in the order in which they came."""

    def __init__(
        self, path: Path, inherited: Inherited, start: Callable[[], None], is_stopped: Callable[[], bool]
    ) -> None:
        """Begin with nobody in it.

        Args:
            path: The outbox's file.
            inherited: What ended processes left.
            start: Starts the task that looks into the file and forwards.
            is_stopped: Whether forwarding has come to a stop, so that waiting for it is of no use.
        """
        self._path = path
        self._inherited = inherited
        self._start = start
        self._is_stopped = is_stopped
        self._until: dict[Standing, float] | None = None
        """When publishes stop waiting while their stream stands so; None before the first."""
        self._turns: dict[str, anyio.Lock] = {}

    async def wait(self, stream: str) -> None:
        """Wait until the stream is open; if it is closed even then, the event belongs into the file."""
        if self._until is None:
            self._begin()
        if stream not in self._turns and not self._has_to_wait(stream):
            return
        turn = self._turns.setdefault(stream, anyio.Lock())
        try:
            async with turn:
                while self._has_to_wait(stream):
                    self._start()
                    await anyio.sleep(_PAUSE_SECONDS)
        finally:
            if not turn.locked():
                self._turns.pop(stream, None)

    def _begin(self) -> None:
        now = time.monotonic()
        self._until = {Standing.UNKNOWN: now + LOOK_SECONDS, Standing.CLOSED: now + OLDER_SECONDS}
        if not os.path.lexists(self._path):
            self._inherited.note_none()

    def _has_to_wait(self, stream: str) -> bool:
        standing = self._inherited.standing(stream)
        if standing is Standing.OPEN or self._until is None:
            return False
        if standing is Standing.CLOSED and self._is_stopped():
            return False
        return time.monotonic() < self._until[standing]

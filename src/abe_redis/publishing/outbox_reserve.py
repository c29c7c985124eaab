"""Reserved room on the outbox's disk, for emptying it.

Even a deletion first writes to the disk. On a full disk no event could leave the outbox, even when Redis is
back. So a file beside the outbox reserves some room. Only what frees room removes it, and makes it again as
soon as there is room; until then every event is refused, as on a full disk.

Whoever makes or removes the file holds SQLite's lock for writing, so that no event takes the room in between.
"""

import os
from contextlib import suppress
from pathlib import Path

from abe_redis.errors import OutboxError
from abe_redis.publishing.outbox_locks import bytes_of, make_private

LEAST_BYTES = 256 * 1024
"""Enough to reopen the outbox, to delete a row, and to move some pages."""
LOG_PAGES = 32
"""Most pages of 4 KiB in SQLite's log before they move to the file, which grows by as many."""

_STEP_BYTES = 64 * 1024


class Reserve:
    """The file that holds the room, beside the outbox."""

    def __init__(self, outbox: Path) -> None:
        self._path = outbox.with_name(f"{outbox.name}-reserve")
        self._log = outbox.with_name(f"{outbox.name}-wal")
        self._largest = 0

    @property
    def is_there(self) -> bool:
        """Whether room is kept."""
        return self._path.exists()

    def hold(self, largest: int) -> None:
        """Make the file, or enlarge it if it is too small; if that fails, it stays as it was.

        Args:
            largest: Bytes of the event that is about to be written; the log holds it a second time.

        Raises:
            OutboxError: The file is not ours alone.
            OSError: The disk is full, or refuses.
        """
        largest = max(largest, self._largest)
        there = bytes_of(self._path) or 0
        # When the log's pages move to the file, that may grow by all of them.
        steps = -(-(bytes_of(self._log) or 0) // _STEP_BYTES)
        try:
            self._enlarge(there, LEAST_BYTES + steps * _STEP_BYTES + 2 * largest)
        except OSError:
            with suppress(OSError):
                os.truncate(self._path, there)
            if not there:
                self.give_up()
            raise
        self._largest = largest

    def restore(self) -> None:
        """Make the file again, with as much of the room as the disk has, maybe none."""
        with suppress(OSError, OutboxError):
            log = bytes_of(self._log) or 0
            self._enlarge(bytes_of(self._path) or 0, LEAST_BYTES + log + 2 * self._largest)

    def give_up(self) -> bool:
        """Remove the file, so that its room is free; False when there is none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _enlarge(self, there: int, needed: int) -> None:
        if there >= needed:
            return
        make_private(self._path)
        with self._path.open("ab", buffering=0) as file:
            while there < needed:  # at random: some disks do not store what is all zeros
                there += file.write(os.urandom(min(needed - there, _STEP_BYTES)))
            os.fsync(file.fileno())

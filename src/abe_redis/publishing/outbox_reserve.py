"""Room on the outbox's disk that is kept for emptying it.

Even a deletion writes to the disk first. On a full one nothing could leave the outbox, though Redis is back.
So a file beside it holds some room, and goes when the emptying needs that. The next event brings it back, or
is refused like any other on a full disk.
"""

import os
from pathlib import Path

from abe_redis.publishing.outbox_locks import make_private

LEAST_BYTES = 256 * 1024
"""Enough to open the outbox anew, to delete a row, and for the pages of the log that the file still lacks."""
LOG_PAGES = 32
"""Pages of 4 KiB that SQLite's log may have before they go to the file, which has to grow by as many."""


class Reserve:
    """The file that holds the room, beside the outbox."""

    def __init__(self, outbox: Path) -> None:
        self._path = outbox.with_name(f"{outbox.name}-reserve")

    @property
    def is_there(self) -> bool:
        """Whether the room is kept."""
        return self._path.exists()

    def hold(self, largest: int) -> None:
        """Make the file if it is not there, or is too small.

        Args:
            largest: Bytes of the event that is about to be written; the log has it a second time.

        Raises:
            OutboxError: The file is not ours alone.
            OSError: The disk is full, or refuses.
        """
        needed = LEAST_BYTES + 2 * largest
        try:
            there = self._path.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            there = 0
        if there >= needed:
            return
        make_private(self._path)
        try:
            with self._path.open("wb") as file:
                while needed > 0:  # at random: some disks do not store what is all zeros
                    needed -= file.write(os.urandom(min(needed, 64 * 1024)))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.give_up()
            raise

    def give_up(self) -> bool:
        """Remove the file, so that its room is free; False when there is none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

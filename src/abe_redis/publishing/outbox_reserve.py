"""Reserved room on the outbox's disk, for emptying it.

Even a deletion first writes to the disk. On a full disk no event could leave the outbox, even when Redis is
back. So a file beside the outbox reserves some room, and is deleted when the emptying needs it. The next
event creates it again, or is refused, as every event is on a full disk.
"""

import os
from pathlib import Path

from abe_redis.publishing.outbox_locks import make_private

LEAST_BYTES = 256 * 1024
"""Enough to reopen the outbox, to delete a row, and for the log's pages that are not in the file yet."""
LOG_PAGES = 32
"""Most pages of 4 KiB in SQLite's log before they move to the file, which grows by as many."""


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
            largest: Bytes of the event that is about to be written; the log holds it a second time.

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

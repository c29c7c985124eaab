"""What is left of an outbox when its file alone was deleted: SQLite's log, and the log's index.

SQLite would take them for the new file's, while a process that has the old file open still uses them. So
nobody makes a new file beside them. Who has saved the old file's rows, or sees that the log is empty, renames
them first; a process that has them open can go on using them.

A new file is not mistaken for a deleted one: SQLite writes its first page before it makes a log.
"""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from abe_redis.publishing.outbox_locks import WriterLocks, bytes_of, check_own

_LOG = logging.getLogger(__name__)

_LOCK = "lost"  # no writer has this name


def are_beside(path: Path) -> bool:
    """Whether the file is missing or empty, and its log or the log's index is there."""
    return not bytes_of(path) and any(bytes_of(file) is not None for file in _leftovers(path))


def hold_rows(path: Path) -> bool:
    """Whether the log is not empty, so that the deleted file's rows may be in it."""
    return any(bytes_of(file) for file in _leftovers(path) if file.name.endswith("-wal"))


def put_aside(path: Path, until: float) -> None:
    """Rename them, unless another process has done so; the log says their new names.

    Args:
        path: The file that was deleted.
        until: Monotonic time until which to wait for a process that does the same; after it, they may
            still be there.

    Raises:
        OutboxError: They are not ours.
        OSError, sqlite3.Error: They cannot be renamed.
    """
    check_own(path)  # before there is a file of a lock, which would be another user's
    lock = WriterLocks(path)
    try:
        while not lock.take(_LOCK):
            if time.monotonic() > until:
                return
            time.sleep(0.01)
        if not are_beside(path):
            return
        aside = f"{path.name}-{os.urandom(8).hex()}.lost"
        for file in _leftovers(path):
            with suppress(FileNotFoundError):
                file.rename(path.with_name(file.name.replace(path.name, aside, 1)))
    finally:
        lock.drop_all()
    _LOG.warning(
        "The outbox %s was deleted without its log; what was left beside it is now %s-wal and -shm. Delete "
        "these when the log says that its events are in a new file.",
        path,
        path.with_name(aside),
    )


def _leftovers(path: Path) -> list[Path]:
    """The index and the log; the log is last, so that nobody makes a new file before both are renamed."""
    return [path.with_name(f"{path.name}{end}") for end in ("-shm", "-wal")]

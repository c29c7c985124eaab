"""Locks that die with the process, on every system: SQLite's own, on an empty file each.

`fcntl` is not on Windows, `msvcrt` only there; an exclusive transaction of SQLite is a lock of the
kernel's on both, and SQLite keeps the locks of one process on one file apart, which POSIX does not.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

BUSY_SECONDS = 0.3
"""Time to wait while another process writes, which takes milliseconds."""


class WriterLocks:
    """The writers of an outbox, and the rows that are ours to forward.

    Take and release a lock only while the outbox itself is locked: removing its file must not race with
    another process that takes it.
    """

    def __init__(self, outbox: Path) -> None:
        self._outbox = outbox
        self._held: dict[str, sqlite3.Connection] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._held))

    def take(self, writer: str) -> bool:
        """Take a writer's lock, unless another process holds it; True if it is ours already.

        Raises:
            OSError, sqlite3.Error: The file cannot be made.
        """
        if writer in self._held:
            return True
        path = self._path(writer)
        make_private(path)
        lock = connect(path, seconds=0)
        try:
            lock.execute("PRAGMA journal_mode = OFF")  # nothing is ever written to it
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        self._held[writer] = lock
        return True

    def drop(self, writer: str, *, remove: bool) -> None:
        """Release a writer; with `remove`, delete its lock's file, too."""
        if writer in self._held:
            self._held.pop(writer).close()
        if remove:
            with suppress(OSError):  # a file left behind does no harm
                self._path(writer).unlink(missing_ok=True)

    def drop_all(self) -> None:
        """Release every writer, and delete the files of the locks."""
        while self._held:
            self._held.popitem()[1].close()

    def _path(self, writer: str) -> Path:
        return self._outbox.with_name(f"{self._outbox.name}-{writer}.lock")


def make_private(path: Path) -> None:
    """Create the file if there is none, for its owner only; SQLite gives its log the same mode.

    One that exists is not even opened: on POSIX, closing it would drop every lock that this process
    holds on it.

    Raises:
        OSError: It cannot be created.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def connect(path: Path, *, seconds: float) -> sqlite3.Connection:
    """Open a database for any thread, without Python's implicit transactions.

    Args:
        path: The file.
        seconds: Time to wait for a lock.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    return sqlite3.connect(path, timeout=seconds, isolation_level=None, check_same_thread=False)


def patiently(call: Callable[[], Any], *, until: float) -> None:
    """Call again while SQLite says that it is busy, until a monotonic time.

    Raises:
        sqlite3.Error: It stays busy, or fails otherwise.
    """
    while True:
        try:
            call()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return

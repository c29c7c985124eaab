"""Locks that die with the process, on every system: SQLite's own, on an empty file each.

A process locks the file of its own name against reading, and that of an ended one, which it has taken over,
against writing alone: so the others can tell the two.

`fcntl` is not on Windows, `msvcrt` only there; an exclusive transaction of SQLite is a lock of the
kernel's on both, and SQLite keeps the locks of one process on one file apart, which POSIX does not.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from abe_redis.errors import OutboxError

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

    def take(self, writer: str, *, as_heir: bool = False) -> bool:
        """Take a writer's lock, unless another process holds it; True if it is ours already.

        Args:
            writer: Whose.
            as_heir: Whether the writer is another process, which has ended if its lock is free.

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
            lock.execute("BEGIN IMMEDIATE" if as_heir else "BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        self._held[writer] = lock
        return True

    def has_heir(self, writer: str) -> bool:
        """Whether the writer has ended, and another process has taken its lock.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        with closing(connect(self._path(writer), seconds=0)) as lock:
            try:
                lock.execute("SELECT 1 FROM sqlite_master").fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                    return False
                raise
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

    An existing file is not even opened: on POSIX, closing it would drop every lock that this process holds on
    it.

    Raises:
        OutboxError: It is a link or another user's, or others may put another in its place.
        OSError: It cannot be created.
    """
    _check_place(path)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return
    check_own(path)


_BESIDE = ("", "-wal", "-shm")
"""The files that SQLite reads: the database itself, its log, and the log's index."""


def bytes_of(path: Path) -> int | None:
    """The size of the file at a path; None when there is none."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return None


def check_own(path: Path) -> None:
    """Refuse a file that somebody else may have put there, and close ours to others.

    Raises:
        OutboxError: It is a link or another user's.
        OSError: It cannot be looked at.
    """
    if not hasattr(os, "getuid"):  # Windows: files have no such owner
        return
    for end in _BESIDE:
        file = path.with_name(f"{path.name}{end}")
        try:
            found = file.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(found.st_mode):
            continue  # SQLite reports this itself
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            raise OutboxError(
                f"{file} is not a file of this user but a link, or another's, so the outbox does not trust "
                "it. Name a file in a directory of this user's own in REDIS_OUTBOX."
            )
        if found.st_mode & 0o077:
            file.chmod(0o600)


def _check_place(path: Path) -> None:
    """Refuse a directory in which others may put another file in the place of ours.

    Raises:
        OutboxError: They may.
        OSError: It cannot be looked at.
    """
    if not hasattr(os, "getuid"):  # Windows: the mode says nothing
        return
    place = path.parent.stat()
    if place.st_mode & stat.S_IWOTH and not place.st_mode & stat.S_ISVTX:
        raise OutboxError(
            f"{path.parent} may be changed by every user, who can put another file in the place of "
            f"{path.name}. Close it with chmod o-w, or name a file in a directory of this user's own in "
            "REDIS_OUTBOX."
        )


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

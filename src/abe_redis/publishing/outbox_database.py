"""The database in the outbox's file: how it is opened, and what SQLite is told about it."""

import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from abe_redis.publishing import outbox_failures, outbox_leftovers
from abe_redis.publishing.outbox_locks import check_own, connect, make_private, patiently
from abe_redis.publishing.outbox_reserve import LOG_PAGES

# A new file is closed once; on POSIX that would drop the locks of anyone who has it open.
_OPENING = threading.Lock()

_APPLICATION_ID = 0x41424551  # "ABEQ": no other program's database is written to
_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    """CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    writer TEXT NOT NULL,
    stream TEXT NOT NULL,
    fields TEXT NOT NULL,
    identity TEXT NOT NULL,
    attempt TEXT NOT NULL,
    remember_seconds REAL NOT NULL,
    published_at REAL NOT NULL,
    refused TEXT
)""",
    "CREATE INDEX waiting ON event (writer, number) WHERE refused IS NULL",
)


type Identity = tuple[int, int]
"""The device and the number of a file, which another file in its place does not have."""


def identity_of(path: Path) -> Identity | None:
    """The identity of the file at a path; None when there is none.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def open_database(path: Path, until: float) -> tuple[sqlite3.Connection, Identity | None]:
    """Open the file; make it if it does not exist.

    Args:
        path: The file.
        until: Monotonic time until which to wait for the locks of others.

    Returns:
        The connection, and the identity of its file.

    Raises:
        OutboxError: It is another program's, or not this user's alone.
        sqlite3.Error: It cannot be opened.
    """
    with _OPENING:
        while True:
            database, identity = _open(path, until)
            # If another file has taken its place meanwhile, SQLite may read that one's log with it.
            if identity == identity_of(path):
                return database, identity
            database.close()


def try_to_make(path: Path, until: float) -> None:
    """Make a database as `open_database` does, beside the file, and remove it again.

    Args:
        path: The file that somebody else may be about to make.
        until: Monotonic time until which to wait for the locks of others.

    Raises:
        OutboxError: A file there would not be this user's alone.
        OSError, sqlite3.Error: No file can be made there.
    """
    trial = path.with_name(f"{path.name}-{os.urandom(8).hex()}.trial")
    try:
        open_database(trial, until)[0].close()
    finally:
        for end in ("", "-wal", "-shm"):
            with suppress(OSError):
                trial.with_name(f"{trial.name}{end}").unlink()


def _open(path: Path, until: float) -> tuple[sqlite3.Connection, Identity | None]:
    if outbox_leftovers.are_beside(path):
        check_own(path)
        raise outbox_failures.emptied(path)
    make_private(path)
    identity = identity_of(path)
    database = connect(path, seconds=0)
    try:
        wait_for_others(database, until)
        if not _is_new(database):
            (application,) = database.execute("PRAGMA application_id").fetchone()
            if application != _APPLICATION_ID:
                raise outbox_failures.foreign(path)
        else:  # it writes even where it is set already, and a full disk must let an outbox be opened
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Turning the log on does not wait for others that do the same.
        patiently(lambda: database.execute("PRAGMA journal_mode = WAL"), until=until)
        database.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA fullfsync = ON")  # macOS: else the disk's own cache keeps it
        database.execute("BEGIN IMMEDIATE")
        if _is_new(database):
            for statement in _SCHEMA:
                database.execute(statement)
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database, identity


def wait_for_others(database: sqlite3.Connection, until: float) -> None:
    """Let each statement wait for the locks of others until a monotonic time."""
    milliseconds = max(0, round(1000 * (until - time.monotonic())))
    database.execute(f"PRAGMA busy_timeout = {milliseconds}")


def _is_new(database: sqlite3.Connection) -> bool:
    return not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

"""What a failure of the outbox's file means for people: which file, what is wrong with it, what to do."""

import errno
import sqlite3
from pathlib import Path

from abe_redis.errors import OutboxError, OutboxFullError
from abe_redis.sanitize.exceptions import describe


class OutboxLockedError(OutboxError):
    """Somebody else uses the file at present."""


class OutboxUnreachedError(OutboxError):
    """This process did not get at the file; that says nothing about the file."""


def is_unusable(error: OutboxError) -> bool:
    """Whether nobody can read or write the file as it is, until a person has put that right."""
    return not isinstance(error, OutboxFullError | OutboxLockedError | OutboxUnreachedError)


def full(path: Path, *, waiting: int, refused: int, most_bytes: int) -> OutboxFullError:
    """The file has reached its size limit."""
    return OutboxFullError(
        f"The outbox {path} is full: it holds {waiting} events, {refused} of them refused by "
        f"Redis, and may have {most_bytes:,} bytes. Bring Redis back, or delete the refused ones."
    )


def foreign(path: Path) -> OutboxError:
    """The file is a database, but not an outbox."""
    return OutboxError(f"The outbox {path} is another program's database. Name another file in REDIS_OUTBOX.")


def unforeseen(path: Path, why: Exception | str) -> OutboxError:
    """What is no failure of the file, but of this process."""
    said = why if isinstance(why, str) else describe(why)
    return OutboxUnreachedError(
        f"This process could not use the outbox {path} ({said}). If that means threads or memory, give it "
        "more; otherwise please report this as a fault of abe-redis."
    )


def closed(path: Path) -> OutboxError:
    """The back end that used it is closed."""
    return OutboxUnreachedError(f"The outbox {path} is closed: the back end that used it is.")


def emptied(path: Path) -> OutboxError:
    """The file is deleted or has lost its content, but its log is there."""
    return OutboxError(
        f"The outbox {path} was deleted or emptied, but its log {path.name}-wal is left. If a process still "
        "has the deleted file open, it soon writes the events into a new one. If this stays so, none has, "
        "and events are lost: move away what is left to start a new one."
    )


def explain(error: sqlite3.Error | OSError, path: Path) -> OutboxError:
    """The error of SQLite or the system, as a sentence."""
    where = f"The outbox {path}"
    detailed = getattr(error, "sqlite_errorcode", 0)
    code = detailed & 0xFF
    no_room = code == sqlite3.SQLITE_FULL or detailed == sqlite3.SQLITE_IOERR_SHMSIZE  # of the log's index
    if no_room or getattr(error, "errno", None) == errno.ENOSPC:
        return OutboxFullError(f"{where} cannot grow: its disk is full. Make room on it.")
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return OutboxError(
            f"{where} is damaged or not an SQLite database. Move it away to start a new one; the sqlite3 "
            "program's .recover may save what it holds."
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}:
        return OutboxLockedError(
            f"{where} is locked by another program. End what holds it: a publish cannot wait for that."
        )
    if code == sqlite3.SQLITE_CANTOPEN and path.is_dir():
        return OutboxError(f"{where} is a directory. Name a file in REDIS_OUTBOX.")
    if not path.parent.is_dir():
        return OutboxError(
            f"{where} cannot be made: {path.parent} is not a directory. Make it, for this user, or name "
            "another file in REDIS_OUTBOX."
        )
    said = getattr(error, "strerror", None) or error
    return OutboxError(
        f"{where} cannot be used ({said}). REDIS_OUTBOX must name a file that this user may read and "
        "write, in a directory where it may create files."
    )


def not_kept(error: OutboxError, reason: str = "") -> OutboxError:
    """The same failure, as that of an event."""
    kind = OutboxFullError if isinstance(error, OutboxFullError) else OutboxError
    return kind(f"{reason}{error} The event was not kept.")

"""An outbox whose file was deleted or replaced while it was in use.

SQLite still reads the file that it has open, so its rows move to the new one, unless the process is killed
before.
Their numbers there are new: whoever still knows an old number means no row by it.
"""

import logging
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from abe_redis.publishing import outbox_leftovers
from abe_redis.publishing.outbox_database import Identity, identity_of
from abe_redis.runtime import plurals

_LOG = logging.getLogger(__name__)

_COLUMNS = (
    "writer",
    "stream",
    "fields",
    "identity",
    "attempt",
    "remember_seconds",
    "published_at",
    "refused",
)
_ROWS = """SELECT writer, stream, fields, identity, attempt, remember_seconds, published_at, refused
    FROM event ORDER BY number"""
_ADD = """INSERT INTO event
    (writer, stream, fields, identity, attempt, remember_seconds, published_at, refused)
    SELECT CAST(:writer AS TEXT), CAST(:stream AS TEXT), CAST(:fields AS TEXT), CAST(:identity AS TEXT),
    CAST(:attempt AS TEXT), :remember_seconds, :published_at, CAST(:refused AS TEXT)
    WHERE NOT EXISTS (SELECT 1 FROM event WHERE attempt = CAST(:attempt AS TEXT))"""


class _Saved(NamedTuple):
    rows: list[tuple[object, ...]]
    last: int
    """The highest number that a row has had."""


class Watch:
    """Notices the loss of a file, and saves what was in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reset()

    def reset(self) -> None:
        """Know of no file."""
        self._identity: Identity | None = None
        """Of the file that was opened last, and is not lost."""
        self._saved: _Saved | None = None

    @property
    def holds_rows(self) -> bool:
        """Whether rows wait here for a new file."""
        return bool(self._saved and self._saved.rows)

    def make_way(self, until: float) -> None:
        """Put aside the log of a deleted file, if it has no row that is not saved here.

        Args:
            until: Monotonic time until which to wait for a process that does the same.

        Raises:
            OutboxError, OSError, sqlite3.Error: It cannot be renamed.
        """
        if outbox_leftovers.are_beside(self._path) and (
            self._saved is not None or not outbox_leftovers.hold_rows(self._path)
        ):
            outbox_leftovers.put_aside(self._path, until)

    def opened(self, identity: Identity | None) -> None:
        """From now on, this file may be lost."""
        self._identity = identity

    def finds_loss(self, opened: sqlite3.Connection | None, *, holds_own: bool) -> bool:
        """Look whether the file is lost; if so, save its rows, and log it once.

        Args:
            opened: The file, if it is open.
            holds_own: Whether rows of this process may wait in it.

        Raises:
            OSError: The path cannot be looked at.
        """
        if self._identity is None or self._identity == identity_of(self._path):
            return False
        self._identity = None
        if self._saved is None and opened is not None:
            with suppress(sqlite3.Error):
                self._saved = _read(opened)
        if self._saved is not None and self._saved.rows:
            _LOG.error(
                "The outbox %s was deleted or replaced while it held %s. They were read from the open "
                "file, and wait in the memory of this process until the log says that they are in a new one. "
                "Do not end it before.",
                self._path,
                plurals.count(len(self._saved.rows), "event"),
            )
        elif self._saved is None and holds_own:
            _LOG.error(
                "The outbox %s was deleted or replaced while it held events; they are lost.", self._path
            )
        return True

    def put_back(self, database: sqlite3.Connection) -> None:
        """Write the saved rows into the new file, but for those that another process has saved.

        Raises:
            sqlite3.Error: They cannot be written; they stay saved.
        """
        if self._saved is None:
            return
        database.execute("BEGIN IMMEDIATE")
        (last,) = database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
        database.execute("DELETE FROM sqlite_sequence")
        database.execute("INSERT INTO sqlite_sequence VALUES ('event', ?)", [max(last, self._saved.last)])
        database.executemany(_ADD, [dict(zip(_COLUMNS, row, strict=True)) for row in self._saved.rows])
        database.execute("COMMIT")
        saved, self._saved = self._saved, None
        if saved.rows:
            _LOG.warning(
                "The outbox %s has a new file, which holds what the deleted one held: %s. Let nothing delete "
                "it.",
                self._path,
                plurals.count(len(saved.rows), "event"),
            )

    def give_up(self) -> None:
        """Forget the saved rows, because this process ends; the log says so."""
        if self._saved is not None and self._saved.rows:
            _LOG.error(
                "The outbox %s was deleted, and this process ends before a new file could be made. What it "
                "held is lost with this process: %s.",
                self._path,
                plurals.count(len(self._saved.rows), "event"),
            )
        self._saved = None


def _read(database: sqlite3.Connection) -> _Saved:
    (last,) = database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
    database.text_factory = bytes  # a damaged text may be no UTF-8
    return _Saved(database.execute(_ROWS).fetchall(), last)

"""What takes events out of the outbox's file. It alone may use the reserved room, since it frees more.

On a full disk each step is so small that the reserved room suffices for it, and begins and ends with an empty
log. Else the log would grow with each step until it has all of the room, and nothing could empty it any more.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress

from abe_redis.errors import OutboxError, OutboxFullError
from abe_redis.publishing.outbox_failures import OutboxLockedError
from abe_redis.publishing.outbox_reserve import Reserve

_PAGES = 1024
"""Pages that one step returns to the disk."""
_FEW_PAGES = 8
"""The same on a full disk: the log may hold some pages for each."""
_LOG_SECONDS = 5.0
"""Time to wait on a full disk until nobody uses the log, which takes milliseconds."""
_LOG_PAUSE_SECONDS = 0.01


class Emptying:
    """Deletes rows, and returns their room to the disk.

    Every method raises `OutboxFullError` if the reserved room does not suffice, and `OutboxError` if the file
    cannot be used.
    """

    def __init__(
        self,
        reserve: Reserve,
        transaction: Callable[[], AbstractContextManager[sqlite3.Connection]],
        empty_log: Callable[[], bool],
    ) -> None:
        self._reserve = reserve
        self._transaction = transaction
        self._empty_log = empty_log

    def afford[Result](self, call: Callable[[], Result]) -> Result:
        """Do what the emptying begins with; on a full disk, opening the file alone may need room."""
        try:
            return call()
        except OutboxFullError:
            if not self._reserve.give_up():  # without SQLite's lock, which needs an open file
                raise
        try:
            return call()
        finally:
            self._restore()

    def settle(self, writer: str, done: Sequence[int], refused: Mapping[int, str]) -> None:
        """Delete the finished rows of a writer, and mark the refused ones with their reasons."""
        if self._reserve.is_there:
            with suppress(OutboxFullError):
                with self._transaction() as database:
                    _settle(database, writer, done, refused)
                return
        if not done and not refused:
            return
        self.afford(self._open)
        steps: list[tuple[Sequence[int], Mapping[int, str]]] = [
            *(([number], {}) for number in done),
            *(([], {number: reason}) for number, reason in refused.items()),
        ]
        try:
            self._free_log()
            for finished, reasons in steps:
                with self._transaction() as database:
                    self._reserve.give_up()
                    _settle(database, writer, finished, reasons)
                self._free_log()
            self._return_room(_FEW_PAGES)
        finally:
            self._restore()

    def tidy(self) -> None:
        """Return the room of deleted rows to the disk, in so far as the disk has room for doing so."""
        with suppress(OutboxFullError):
            try:
                self._return_room(_PAGES)
            except OutboxFullError:
                self._free_log()
                self._return_room(_FEW_PAGES)
            self._restore()

    def _return_room(self, pages: int) -> None:
        while True:
            with self._transaction() as database:
                if pages == _FEW_PAGES:
                    self._reserve.give_up()
                before = _free_pages(database)
                database.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
                left = _free_pages(database)
            if pages == _FEW_PAGES:
                self._free_log()
            else:
                self._empty_log()
            if not left or left >= before:
                return

    def _free_log(self) -> None:
        """Empty the log with the reserved room, by which the file may grow, once nobody uses the log.

        It gives the room up for each try anew: a publisher that was refused may have reserved it again.
        """
        until = time.monotonic() + _LOG_SECONDS
        while True:
            with self._transaction():
                self._reserve.give_up()
            failure: OutboxError = OutboxLockedError(
                "The outbox's log is in use, so its full disk cannot be made free."
            )
            try:
                if self._empty_log():
                    return
            except OutboxFullError as error:
                failure = error
            self._restore()
            if time.monotonic() > until:
                raise failure
            time.sleep(_LOG_PAUSE_SECONDS)

    def _open(self) -> None:
        with self._transaction():
            pass

    def _restore(self) -> None:
        with self._transaction():
            self._reserve.restore()


def _settle(
    database: sqlite3.Connection, writer: str, done: Sequence[int], refused: Mapping[int, str]
) -> None:
    # In a file that replaced the one that was read, another writer's row may have the number.
    database.executemany(
        "DELETE FROM event WHERE number = ? AND writer = ?", [[number, writer] for number in done]
    )
    database.executemany(
        "UPDATE event SET refused = ? WHERE number = ? AND writer = ?",
        [[reason, number, writer] for number, reason in refused.items()],
    )


def _free_pages(database: sqlite3.Connection) -> int:
    (pages,) = database.execute("PRAGMA freelist_count").fetchone()
    return int(pages)

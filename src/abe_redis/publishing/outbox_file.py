"""The outbox's file: rows of events in SQLite.

Everything here blocks and may be called from any thread; `outbox` says what it is for.

SQLite's write-ahead log with `synchronous=FULL` is synced at every commit, so a row survives the
process and the machine. Unlike a rollback journal it needs one sync per commit, not three.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from abe_redis.publishing import outbox_failures, outbox_leftovers
from abe_redis.publishing.outbox_ages import Ages
from abe_redis.publishing.outbox_database import open_database, try_to_make, wait_for_others
from abe_redis.publishing.outbox_emptying import Emptying
from abe_redis.publishing.outbox_inherited import Inherited
from abe_redis.publishing.outbox_locks import BUSY_SECONDS, WriterLocks
from abe_redis.publishing.outbox_loss import Watch
from abe_redis.publishing.outbox_reserve import Reserve
from abe_redis.publishing.outbox_rows import Append, Batch, Row, encode, is_awaited, read, writers
from abe_redis.runtime import fork

MAX_BYTES = 256 * 1024 * 1024
"""Size limit of the file: more than three hours of Slack's largest rate (30,000 envelopes of 1 to 5 KB an
hour)."""

_PATIENCE_SECONDS = 5.0
"""Default time for which a row waits to be written."""

BATCH_BYTES = 1024 * 1024
BATCH_ROWS = 64
"""Most bytes that one read takes from the file."""


_SIZE = """SELECT count(*), count(refused),
    min(published_at) FILTER (WHERE refused IS NULL AND typeof(published_at) = 'real') FROM event"""


@dataclass(frozen=True, slots=True)
class OutboxSize:
    """Numbers of events in an outbox."""

    waiting: int
    """Not delivered yet."""
    refused: int
    """Refused by Redis for good, or damaged by the disk, and kept with the reason."""
    oldest_waiting_seconds: float = 0.0
    """Time since the first try of the oldest one that waits; 0 when none does."""


class OutboxFile:
    """Rows on disk. The file is made by the first row, readable by its owner only.

    Every method raises:
        OutboxFullError: The file has reached its size limit, or its disk is full.
        OutboxError: The file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.holds_own = False
        """False once no row of this process can still wait."""
        self.losses = 0
        """How often the file was found deleted or replaced."""
        self._last: dict[str, int] = {}
        """Streams of which rows of this process wait, each with the number of the last of them."""
        self._is_unsure = False
        """Whether rows of this process may have other numbers."""
        self._writer = os.urandom(8).hex()
        self.inherited = Inherited()
        self.ages = Ages()
        self._locks = WriterLocks(self.path)
        self._reserve = Reserve(self.path)
        self._emptying = Emptying(self._reserve, self._transaction, self._empty_log)
        self._opened: sqlite3.Connection | None = None
        self._is_closed = False
        self._watch = Watch(self.path)
        # A thread continues when its caller is cancelled, so two may run here at once.
        self._guard = threading.Lock()
        fork.hears_of_forks(self)

    def before_fork(self) -> None:
        """Wait until no thread is within a transaction."""
        self._guard.acquire()

    def after_fork(self) -> None:
        """Let the parent continue."""
        self._guard.release()

    def forked(self) -> None:
        """Use a writer name and connections of our own.

        The kernel's locks belong to the parent alone. But SQLite keeps its own list of them, and in the child
        that list would be wrong. Closing the inherited connections corrects it.
        """
        self._guard.release()
        self._let_go()
        self._watch.reset()
        self._writer = os.urandom(8).hex()
        self._hold_none()

    def forsake(self) -> None:
        """Release the file as it is; the next process that claims its rows forwards them."""
        with self._guard:
            self._let_go()
            self._watch.give_up()
            self._is_closed = True

    def append(self, row: Row, until: float | None = None) -> int:
        """Write a row; when this returns, it is on the disk.

        Args:
            row: The event.
            until: Monotonic time until which to wait for another process's lock on the file; None: for 5 s.

        Returns:
            Its number.
        """
        until = time.monotonic() + _PATIENCE_SECONDS if until is None else until
        with self._transaction(until) as database:
            return self._append(database, row)

    def append_all(self, appends: Sequence[Append]) -> None:
        """Write rows in one commit, and note their numbers; if that fails, none is written."""
        numbers: list[int | None] = []
        with self._transaction(max(one.until for one in appends)) as database:
            for one in appends:
                goes = not one.behind or self._waits(database, one.row.draft.stream)
                numbers.append(self._append(database, one.row) if goes else None)
        for one, number in zip(appends, numbers, strict=True):  # only now they are written
            one.number = number

    def _waits(self, database: sqlite3.Connection, stream: str) -> bool:
        """Whether a row of this stream waits that this process forwards."""
        if not is_awaited(database, self._writer):
            self._hold_none()
        return self._may_hold_own(stream) or self.inherited.waits(database, stream)

    def may_wait(self, stream: str) -> bool:
        """Whether a row of this stream may wait that this process forwards."""
        return self._may_hold_own(stream) or self.inherited.may_wait(stream)

    def _may_hold_own(self, stream: str) -> bool:
        return self.holds_own and (self._is_unsure or stream in self._last)

    def _hold_none(self) -> None:
        self._last.clear()
        self.holds_own = self._is_unsure = False

    def check(self, until: float | None = None) -> None:
        """Try what a row needs, so that an outbox that cannot work is found before an outage.

        Nothing is left behind: whoever looks may be another user than the one whose file it is to be.

        Args:
            until: As for `append`.
        """
        until = time.monotonic() + _PATIENCE_SECONDS if until is None else until
        with self._guard, self._explained():
            try_to_make(self.path, until)
        # Also a link to nothing, which is refused.
        if os.path.lexists(self.path) or outbox_leftovers.are_beside(self.path):
            with self._transaction(until):
                pass

    def claim(self) -> list[str]:
        """The writers of waiting rows that are ours to deliver: the dead ones, then this process.

        A row whose writer's name is damaged becomes this process's own.
        """
        if not self._is_there():
            self.inherited.forget_all()
            self.inherited.note_none()
            return []
        with self._transaction() as database:
            found = writers(database, self._writer)
            ours = [one for one in found if self._locks.take(one, as_heir=not self.is_own(one))]
            elsewhere = [one for one in found if one not in ours and self._locks.has_heir(one)]
            self.inherited.note(database, [one for one in ours if not self.is_own(one)], elsewhere)
            return sorted(ours, key=self.is_own)

    def claim_on_full_disk(self) -> list[str]:
        """Claim with the reserved room, because Redis is back, so that the rows can leave the file."""
        return self._emptying.afford(self.claim)

    def first(self, writer: str, after: int = 0, most: int = BATCH_ROWS) -> Batch:
        """The first waiting rows behind a number, in order; none when none is left to read."""
        with self._transaction() as database:
            return read(database, writer, after=after, rows=most, size=BATCH_BYTES)

    def settle(self, writer: str, done: Sequence[int], refused: Mapping[int, str]) -> None:
        """Delete the finished rows of a writer, and mark the refused ones with their reasons."""
        self._emptying.settle(writer, done, refused)
        if writer == self._writer:
            with self._guard:
                settled = {*done, *refused}
                self._last = {stream: last for stream, last in self._last.items() if last not in settled}

    def is_own(self, writer: str) -> bool:
        """Whether a writer is this process."""
        return writer == self._writer

    def leave(self, writer: str) -> None:
        """Let other processes forward the rows of a dead one."""
        with self._transaction():
            self._locks.drop(writer, remove=False)
        self.inherited.forget(writer)

    def release(self, writer: str) -> None:
        """Release a writer that has no rows left, and return the space to the disk."""
        with self._transaction() as database:
            if not is_awaited(database, writer):
                self._locks.drop(writer, remove=True)
                self.inherited.forget(writer)
        self._emptying.tidy()

    def size(self) -> OutboxSize:
        """The number of events in it, of all processes, and the age of the oldest."""
        if not self._is_there():
            return OutboxSize(0, 0)
        with self._transaction() as database:
            every, refused, first = database.execute(_SIZE).fetchone()
        seconds = 0.0 if first is None else max(0.0, time.time() - first)
        return OutboxSize(every - refused, refused, seconds)

    def close(self) -> None:
        """Close the file, and release every lock."""
        try:
            for writer in self._locks:
                with self._transaction() as database:
                    self._locks.drop(writer, remove=not is_awaited(database, writer))
            if self._is_there() and self._watch.holds_rows:
                with self._transaction():
                    pass
        finally:
            self.forsake()

    # The database -----------------------------------------------------------------------------

    def _append(self, database: sqlite3.Connection, row: Row) -> int:
        self._locks.take(self._writer)
        stream, entry, *identity = row.draft
        fields = encode(entry)
        pages, free, page_bytes = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * page_bytes + len(fields) > MAX_BYTES:
            waiting, refused = database.execute("SELECT count(*), count(refused) FROM event").fetchone()
            raise outbox_failures.full(self.path, waiting=waiting, refused=refused, most_bytes=MAX_BYTES)
        self._reserve.hold(len(fields))
        self.ages.look()
        cursor = database.execute(
            "INSERT INTO event (writer, stream, fields, identity, attempt, remember_seconds, published_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [self._writer, stream, fields, *identity, row.published_at],
        )
        self.holds_own = True
        self._last[stream] = number = int(cursor.lastrowid or 0)
        return number

    @contextmanager
    def _transaction(self, until: float | None = None) -> Iterator[sqlite3.Connection]:
        with self._guard, self._explained():
            if self._is_closed:  # a thread whose caller was cancelled comes late, and may take no lock again
                raise outbox_failures.closed(self.path)
            until = time.monotonic() + BUSY_SECONDS if until is None else until
            database = self._open(until)
            try:
                wait_for_others(database, until)
                self._watch.put_back(database)
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
            except BaseException:
                self._forget()  # closing rolls back, and the next call checks the file again
                raise

    def _open(self, until: float) -> sqlite3.Connection:
        self._look_for_loss()
        if self._opened is None:
            self._watch.make_way(until)
            self._opened, identity = open_database(self.path, until)
            self._watch.opened(identity)
        return self._opened

    def _empty_log(self) -> bool:
        """Move the log's pages into the file, and its space to the disk; False if the log is in use."""
        with self._guard, self._explained():
            until = time.monotonic() + BUSY_SECONDS
            database = self._open(until)
            wait_for_others(database, until)
            is_in_use, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not is_in_use

    def _is_there(self) -> bool:
        """Whether there is a file, what was saved from one, or what is left beside a deleted one."""
        with self._guard, self._explained():
            self._look_for_loss()
            is_there = self.path.exists() or self.path.is_symlink()
            return self._watch.holds_rows or is_there or outbox_leftovers.are_beside(self.path)

    def _look_for_loss(self) -> None:
        if self._watch.finds_loss(self._opened, holds_own=self.holds_own):
            self._locks.drop_all()
            self.inherited.elsewhere.forget_all()
            self._forget()  # what was inherited moves to the new file, too
            self.losses += 1
            self._is_unsure = self.holds_own

    def _let_go(self) -> None:
        """Close the file, with no row of anybody left to forward."""
        self._locks.drop_all()
        self.inherited.forget_all()
        self._forget()

    def _forget(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    # What can go wrong ------------------------------------------------------------------------

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise outbox_failures.explain(error, self.path) from None


def check(path: Path, until: float | None = None) -> None:
    """Check the outbox at a path, beside whoever uses it in this process.

    Raises:
        OutboxError: It cannot work; `OutboxFullError`, while its disk is full.
    """
    with closing(OutboxFile(path)) as file:
        file.check(until)

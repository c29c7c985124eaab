"""What ended processes left in the outbox: the events that this one publishes to the same streams wait."""

import sqlite3
from collections.abc import Iterable
from enum import Enum, auto

from abe_redis.publishing.outbox_elsewhere import Elsewhere


class Standing(Enum):
    """What a stream's standing says of an event that is published to it now."""

    UNKNOWN = auto()
    """Nobody has looked yet what ended processes left: it waits until somebody has."""
    CLOSED = auto()
    """Events that ended processes left wait: it goes behind them, and not to Redis."""
    OPEN = auto()
    """None of them waits, or the file cannot be read: it may go to Redis."""


class Inherited:
    """The streams of the rows that wait, by the ended process that wrote them.

    Every stream begins as unknown. Each look into the file closes those of which ended processes left rows,
    and opens all others; forwarding opens them, too, and so does letting others have the rows.

    Publishing asks while a thread notes and forgets, so what it looks through is replaced, never changed.
    """

    def __init__(self) -> None:
        self._streams: dict[str, frozenset[str]] = {}
        self._is_known = False
        self.elsewhere = Elsewhere()
        """What other processes forward of it."""

    def standing(self, stream: str) -> Standing:
        """Whether an event of this stream may go to Redis."""
        if self.may_wait(stream):
            return Standing.CLOSED
        return Standing.OPEN if self._is_known else Standing.UNKNOWN

    def note(
        self, database: sqlite3.Connection, writers: Iterable[str], elsewhere: Iterable[str] = ()
    ) -> None:
        """Note that the rows of these ended processes, and of no others, are this one's to forward.

        Args:
            database: The outbox.
            writers: The ended processes.
            elsewhere: Those whose rows are another live process's to forward.
        """
        found = {}
        for writer in writers:
            if writer in self._streams:
                found[writer] = self._streams[writer]
                continue
            query = "SELECT DISTINCT CAST(stream AS BLOB) FROM event WHERE writer = ? AND refused IS NULL"
            streams = database.execute(query, [writer]).fetchall()
            found[writer] = frozenset((stream or b"").decode(errors="replace") for (stream,) in streams)
        self._streams = found
        self.elsewhere.note(database, elsewhere)
        self._is_known = True

    def note_none(self) -> None:
        """Note that nothing is there, or can be read."""
        self._is_known = True

    def forget(self, writer: str) -> None:
        """Note that the rows of one are forwarded, or left to others."""
        self._streams = {one: streams for one, streams in self._streams.items() if one != writer}

    def forget_all(self) -> None:
        """Note that nothing is known of any of them."""
        self._streams = {}
        self.elsewhere.forget_all()

    def may_wait(self, stream: str) -> bool:
        """Whether a row of this stream may wait."""
        return any(stream in streams for streams in self._streams.values()) or self.elsewhere.may_wait(stream)

    def waits(self, database: sqlite3.Connection, stream: str) -> bool:
        """Whether a row of this stream waits."""
        query = "SELECT 1 FROM event WHERE writer = ? AND refused IS NULL AND stream = ? LIMIT 1"
        for writer, streams in self._streams.items():
            if stream in streams and database.execute(query, [writer, stream]).fetchone() is None:
                self._streams = self._streams | {writer: streams - {stream}}
        self.elsewhere.look(database, stream)
        return self.may_wait(stream)

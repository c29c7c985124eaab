"""What ended processes left in the outbox, and this one forwards: its own events of these streams wait."""

import sqlite3


class Inherited:
    """The streams of the rows that wait, by the ended process that wrote them.

    Publishing asks while a thread notes and forgets, so what it looks through is replaced, never changed.
    """

    def __init__(self) -> None:
        self._streams: dict[str, frozenset[str]] = {}

    def note(self, database: sqlite3.Connection, writer: str) -> None:
        """Note that the rows of an ended process are this one's to forward."""
        if writer not in self._streams:
            query = "SELECT DISTINCT CAST(stream AS BLOB) FROM event WHERE writer = ? AND refused IS NULL"
            found = database.execute(query, [writer]).fetchall()
            streams = frozenset((stream or b"").decode(errors="replace") for (stream,) in found)
            self._streams = self._streams | {writer: streams}

    def forget(self, writer: str) -> None:
        """Note that the rows of one are forwarded, or left to others."""
        self._streams = {one: streams for one, streams in self._streams.items() if one != writer}

    def forget_all(self) -> None:
        """Note that none is this process's any more."""
        self._streams = {}

    def may_wait(self, stream: str) -> bool:
        """Whether a row of this stream may wait."""
        return any(stream in streams for streams in self._streams.values())

    def waits(self, database: sqlite3.Connection, stream: str) -> bool:
        """Whether a row of this stream waits."""
        query = "SELECT 1 FROM event WHERE writer = ? AND refused IS NULL AND stream = ? LIMIT 1"
        for writer, streams in self._streams.items():
            if stream in streams and database.execute(query, [writer, stream]).fetchone() is None:
                self._streams = self._streams | {writer: streams - {stream}}
        return self.may_wait(stream)

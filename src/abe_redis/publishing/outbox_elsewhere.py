"""What ended processes left in the outbox, and another process that lives has taken over.

Of each stream, the event with the lower number comes first, whoever forwards it. So what this process
forwards waits for what has a lower number there, and so does what is published to the same streams.

Nobody waits for ever: the other process may be frozen.
"""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

PATIENCE_SECONDS = 30.0
"""Time without any of them forwarded, though Redis answers, after which nothing waits for them any more."""

_STREAMS = """SELECT CAST(stream AS BLOB), min(number) FROM event WHERE writer = ? AND refused IS NULL
    GROUP BY 1"""
_FIRST = """SELECT number FROM event WHERE writer = ? AND refused IS NULL AND stream = ? AND number >= ?
    ORDER BY number LIMIT 1"""


@dataclass(frozen=True, slots=True)
class _Left:
    """What one ended process left."""

    firsts: dict[str, int]
    """The streams of its rows that wait, each with the number of the first one."""
    since: float
    """Monotonic time since which these have stood so."""


class Elsewhere:
    """The streams of the rows that wait, by the ended process that wrote them."""

    def __init__(self) -> None:
        self._left: dict[str, _Left] = {}

    @property
    def is_any(self) -> bool:
        """Whether a row may wait there."""
        return bool(self._left)

    def note(self, database: sqlite3.Connection, writers: Iterable[str]) -> None:
        """Note that the rows of these ended processes, and of no others, are with processes that live."""
        found = {}
        for writer in writers:
            before = self._left.get(writer)
            firsts = _firsts(database, writer, before)
            since = before.since if before and before.firsts == firsts else time.monotonic()
            found[writer] = _Left(firsts, since)
        self._left = found

    def look(self, database: sqlite3.Connection, stream: str) -> None:
        """Note which rows of this stream are forwarded."""
        for writer, left in self._left.items():
            if stream in left.firsts and _first(database, writer, stream, left.firsts[stream]) is None:
                firsts = {one: first for one, first in left.firsts.items() if one != stream}
                self._left = self._left | {writer: _Left(firsts, time.monotonic())}

    def excuse(self) -> None:
        """Note that Redis takes nothing at present, so that nobody can forward anything."""
        now = time.monotonic()
        self._left = {writer: _Left(left.firsts, now) for writer, left in self._left.items()}

    def forget_all(self) -> None:
        """Note that nothing is known of it."""
        self._left = {}

    def may_wait(self, stream: str) -> bool:
        """Whether a row of this stream may wait."""
        return bool(self._left) and any(stream in left.firsts for left in self._in_time())

    def is_before(self, stream: str, number: int) -> bool:
        """Whether a row of this stream with a lower number may wait."""
        return bool(self._left) and any(left.firsts.get(stream, number) < number for left in self._in_time())

    def _in_time(self) -> list[_Left]:
        after = time.monotonic() - PATIENCE_SECONDS
        return [left for left in self._left.values() if left.since > after]


def _firsts(database: sqlite3.Connection, writer: str, before: _Left | None) -> dict[str, int]:
    """The streams of what waits, each with its first number; an ended process writes no more."""
    if before is None:
        rows = database.execute(_STREAMS, [writer]).fetchall()
        return {(stream or b"").decode(errors="replace"): number for stream, number in rows}
    found = {stream: _first(database, writer, stream, number) for stream, number in before.firsts.items()}
    return {stream: number for stream, number in found.items() if number is not None}


def _first(database: sqlite3.Connection, writer: str, stream: str, at_least: int) -> int | None:
    row = database.execute(_FIRST, [writer, stream, at_least]).fetchone()
    return None if row is None else int(row[0])

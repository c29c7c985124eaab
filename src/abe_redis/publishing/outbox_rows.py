"""The rows of the outbox's file: how an event is written there, and how it is read back.

A disk may change what it holds. A row that cannot be read for that reason stays in the file, and the
rows around it are delivered. So texts are read as bytes: SQLite gives up a whole read at a text that is not
UTF-8, with words that hold a part of the event.
"""

import json
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from abe_redis.client.topology.node import ANSWER_SECONDS
from abe_redis.errors import OutboxError
from abe_redis.publishing.outbox_ages import Ages
from abe_redis.streams.publish import Draft

POSSIBLE_DUPLICATE = b"possible-duplicate"
"""Field beside the payload, `1`: Redis may already have had this event, and can no longer tell."""

DAMAGED = "The row is damaged: it does not hold what was written to it."
"""The reason that the file keeps with such a row."""

_READ = """SELECT number, remember_seconds, published_at, CAST(stream AS BLOB), CAST(identity AS BLOB),
    CAST(attempt AS BLOB), CAST(fields AS BLOB)
    FROM event WHERE writer = ? AND number > ? AND refused IS NULL ORDER BY number LIMIT ?"""
_WRITER = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Row:
    """The arguments for `streams.publish`, and the time of the first try. Its fields hold no secret."""

    draft: Draft
    published_at: float = field(default_factory=time.time)
    """In seconds since the epoch, since it is compared after a restart, too."""
    number: int = 0
    """Its number in the file."""

    def marked(self, ages: Ages) -> Draft:
        """The draft, marked if Redis may have forgotten the first try by now."""
        draft = self.draft
        if ages.most(self.published_at) <= draft.remember_seconds - ANSWER_SECONDS:
            return draft
        return draft._replace(fields=draft.fields | {POSSIBLE_DUPLICATE: b"1"})


@dataclass(slots=True, eq=False, kw_only=True)
class Append:
    """A row that is to be written, and what came of it."""

    row: Row
    until: float
    """Monotonic time until which to wait for another process's lock on the file."""
    behind: bool = False
    """Whether only behind others of its stream that this process forwards."""
    number: int | None = None
    """Its number, once it is written."""
    error: OutboxError | None = None
    is_done: bool = False


class Batch(NamedTuple):
    """The rows of one read, in order."""

    rows: list[Row]
    damaged: list[int]
    """Numbers of rows that mean nothing."""


def read(database: sqlite3.Connection, writer: str, *, after: int, rows: int, size: int) -> Batch:
    """Read the first waiting rows of a process.

    Args:
        database: The outbox.
        writer: The process that wrote them.
        after: The number behind which they are.
        rows: Most rows to read.
        size: Bytes of fields after which to stop.

    Raises:
        sqlite3.Error: The file cannot be used.
    """
    batch = Batch([], [])
    with closing(database.execute(_READ, [writer, after, rows])) as cursor:
        for number, *values in cursor:
            if row := _decode(number, values):
                batch.rows.append(row)
            else:
                batch.damaged.append(number)
            size -= len(values[-1] or b"")
            if size <= 0:
                break
    return batch


def is_awaited(database: sqlite3.Connection, writer: str) -> bool:
    """Whether a row of this writer waits for delivery."""
    query = "SELECT 1 FROM event WHERE writer = ? AND refused IS NULL LIMIT 1"
    return database.execute(query, [writer]).fetchone() is not None


def writers(database: sqlite3.Connection, own: str) -> list[str]:
    """The processes that wrote the waiting rows, by their first ones.

    A row whose writer's name is damaged, which would be a part of a path, becomes this process's own.

    Args:
        database: The outbox.
        own: The name of this process.

    Raises:
        sqlite3.Error: The file cannot be used.
    """
    query = "SELECT CAST(writer AS BLOB) FROM event WHERE refused IS NULL GROUP BY 1 ORDER BY min(number)"
    found: dict[str, None] = {}
    for (name,) in database.execute(query).fetchall():
        writer = (name or b"").decode(errors="replace")
        if not _WRITER.fullmatch(writer):
            database.execute(
                "UPDATE event SET writer = ? WHERE refused IS NULL AND CAST(writer AS BLOB) IS ?", [own, name]
            )
            writer = own
        found[writer] = None
    return list(found)


def encode(fields: Mapping[bytes, bytes]) -> str:
    """The fields of an entry as a text."""
    said = {name.decode(): value.decode(errors="surrogatepass") for name, value in fields.items()}
    # Lone surrogates, each of which begins with this byte, can be carried by JSON's own escapes only.
    return json.dumps(said, ensure_ascii=any(b"\xed" in value for value in fields.values()))


def _decode(number: int, values: Sequence[Any]) -> Row | None:
    """The row of `_READ` without its number; None when it is damaged."""
    remember_seconds, published_at, stream, identity, attempt, fields = values
    try:
        draft = Draft(
            stream.decode(), _fields(fields), identity.decode(), attempt.decode(), float(remember_seconds)
        )
        return Row(draft, float(published_at), number)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _fields(text: bytes) -> dict[bytes, bytes]:
    said = json.loads(text.decode())
    return {name.encode(): value.encode(errors="surrogatepass") for name, value in said.items()}

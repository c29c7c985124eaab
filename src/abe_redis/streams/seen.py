"""Where a stream remembers the ids of published events; `remembered_ids.lua` says how.

An id is a field of a small hash, its bucket, which servers pack into a third of what a key of its own takes.
The buckets are chosen by the id's hash alone, so that an event is found whenever it comes again. A publisher
names them to the script, as a cluster wants it, and so has to know which levels of them are in use.
"""

import hashlib
from base64 import b64encode
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from abe_redis.streams.names import in_slot_of

_BUCKETS = tuple(256 * 8**level for level in range(5))
"""Number of buckets of a stream at each level."""

_LONGEST_FIELD = 60
"""Bytes of a field that a server packs; a longer id is represented by its digest."""

_LONGEST_ATTEMPT = 9
"""Characters at the end of an attempt that tell it from others of the same event."""

_MOST_STREAMS = 10_000


class View(NamedTuple):
    """How a stream remembers, as far as it is known."""

    low: int
    """The lowest level in use."""
    level: int
    """The level at which new ids are kept."""
    has_earlier: bool = True
    """Whether the keys of earlier versions count."""
    said: bytes = b""
    """The stream's state, from which this is known."""

    @property
    def high(self) -> int:
        """The highest level that may come into use."""
        return min(self.level + 1, len(_BUCKETS) - 1)


ALL = View(0, len(_BUCKETS) - 1)
"""The view to take while nothing is known: it is enough for every stream."""


class Views:
    """How streams remember, as far as it is known."""

    def __init__(self) -> None:
        self._known: dict[str, View] = {}

    def of(self, stream: str) -> View:
        """The view of a stream."""
        return self._known.get(stream, ALL)

    def learn(self, stream: str, line: bytes) -> int:
        """Take in what a script says of a stream; return how long that was before."""
        if line.isdigit():  # nearly always: there is no news
            return int(line)
        if line.startswith(b"?"):  # it is not as was thought
            self._known.pop(stream, None)
            return int(line[1:])
        length, _, said = line.partition(b" ")
        if said:
            if len(self._known) >= _MOST_STREAMS:
                self._known.clear()
            self._known[stream] = _view(said)
        return int(length)


@lru_cache(maxsize=64)
def _view(said: bytes) -> View:
    _, level, lowest, _, earlier = map(int, said.split())
    return View(lowest, level, bool(earlier), said)


def state(stream: str) -> str:
    """The key that says how a stream remembers."""
    return f"{in_slot_of('abe:seen:', stream)}:state"


def number(event_id: str) -> int:
    """The number that chooses the buckets of an event."""
    return crc32(event_id.encode())


def at_level(stream: str, level: int) -> tuple[str, int]:
    """How the buckets of a stream at a level are called, but for their number; and how many there are."""
    return f"{in_slot_of('abe:seen:', stream)}:{level}:", _BUCKETS[level]


class Place(NamedTuple):
    """Where and how events of a stream are remembered that are remembered for the same time."""

    state: str
    """As `state`."""
    seconds: str
    """As `written`."""
    lasting: str
    """The field that says until when ids may be added to a bucket as they are."""
    level: tuple[str, int]
    """As `at_level`, for the level at which new ids are kept."""
    lower: list[tuple[str, int]]
    """As `at_level`, for the levels below that are in use, the highest first."""


@lru_cache(maxsize=1024)
def place(stream: str, view: View, remember_seconds: float) -> Place:
    """Where and how events of a stream are remembered for that time."""
    level, *lower = (at_level(stream, level) for level in range(view.level, view.low - 1, -1))
    lasting = f"={round(remember_seconds * 1000)}"
    return Place(state(stream), written(remember_seconds), lasting, level, lower)


def buckets(stream: str, event_id: str, view: View = ALL) -> list[str]:
    """The hashes in which a published event of a stream may be remembered, one at each level of the view."""
    chosen = number(event_id)
    levels = (at_level(stream, level) for level in range(view.low, view.high + 1))
    return [f"{name}{chosen % count}" for name, count in levels]


def field(event_id: str) -> str:
    """The field that remembers an event there."""
    short = event_id.removeprefix("event")
    if len(short) <= _LONGEST_FIELD and (short.isascii() or len(short.encode()) <= _LONGEST_FIELD):
        return short
    digest = hashlib.blake2b(event_id.encode(), digest_size=32, usedforsecurity=False).digest()
    return f"#{b64encode(digest).decode()}"


def mark(attempt: str, seconds: str) -> str:
    """The text behind the entry's id there: the attempt, and for how long the event is remembered."""
    return f"{attempt[-_LONGEST_ATTEMPT:]} {seconds}"


@lru_cache(maxsize=64)
def written(seconds: float) -> str:
    """Seconds, to the millisecond."""
    return f"{round(seconds * 1000) / 1000:.14g}"

"""The scheduler: which streams a consumer reads next, and how many entries of each.

Streams that had more entries than the last read took are busy. They are served in turn, the one that has
waited longest first. The idle ones are polled in turn, a few with every read. So their first event does not
wait until no stream is busy.
"""

from collections import Counter
from collections.abc import Container, Iterable
from itertools import islice

from abe_redis.streams.lease import Leased, Portion

LOOKED_AT = 64
"""Idle streams polled per read, in addition to one stream per event it may return."""

AT_ONCE = 4
"""Busy streams of which one read takes a portion, where each has enough. To look at a stream and to lease of
it cost the server as much as some twenty entries do. So a stream is read seldom, and then much of it."""

LEFT_OUT = 4
"""Reads without polling after a wait, which has seen all idle streams empty, unless a read is full."""


class Scheduler:
    """The order in which the streams of a consumer are read."""

    def __init__(self) -> None:
        self._busy: dict[str, str] = {}
        """The last id read of each busy stream, or nothing; the first has waited longest."""
        self._quiet: dict[str, None] = {}
        """Streams that were empty at their last read; the first was read longest ago."""
        self._left_out = 0
        """Remaining reads for which the idle streams count as empty."""
        self._most = 0
        """Number of entries that the last read asked for."""

    @property
    def is_quiet(self) -> bool:
        """Whether every stream was empty when it was read last, so that a read may wait for news."""
        return not self._busy

    def follow(self, ready: Iterable[str]) -> None:
        """Add new streams, and forget those that are not among these."""
        ready = dict.fromkeys(ready)
        if ready.keys() == self._busy.keys() | self._quiet.keys():
            return
        self._busy = {name: last for name, last in self._busy.items() if name in ready}
        self._quiet = {name: None for name in self._quiet if name in ready}
        self._busy |= {name: "" for name in ready if name not in self._busy and name not in self._quiet}

    def plan(self, most: int) -> list[Portion]:
        """The portions to read for this many entries: first of idle streams, then of busy ones."""
        self._most = most
        asked = () if self._left_out and self._busy else islice(self._quiet, LOOKED_AT + most)
        portions = [Portion(name, 1, "") for name in asked]
        each = min(most, max(2, most // min(AT_ONCE, max(1, len(self._busy)))))
        portions += [Portion(name, each, last) for name, last in islice(self._busy.items(), most)]
        return portions

    def note(self, looked_at: Iterable[str], leased: Iterable[Leased], more: Container[str]) -> None:
        """Note the result of a read.

        Args:
            looked_at: The streams that were read.
            leased: The leased entries, in the order of each stream.
            more: Those of the streams that may have more.
        """
        leased = list(leased)
        self._left_out = max(0, self._left_out - 1) if len(leased) < self._most else 0
        last = {entry.stream: entry.id for entry in leased}
        for stream in looked_at:
            self._busy.pop(stream, None)
            self._quiet.pop(stream, None)
            if stream in more:
                self._busy[stream] = last[stream]
            else:
                self._quiet[stream] = None

    def note_more(self, streams: Iterable[str]) -> None:
        """Note that a wait ended because of these streams, of which nothing was read."""
        self._left_out = LEFT_OUT
        for stream in streams:
            if self._quiet.pop(stream, "") is None:
                self._busy[stream] = ""

    def note_news(self, leased: Iterable[Leased], count: int) -> None:
        """The same, with the entries that were read: up to so many of each stream.

        One of which there were fewer is empty, so that the next read may wait for all.
        """
        per_stream = Counter[str]()
        for entry in leased:
            self._left_out = LEFT_OUT
            per_stream[entry.stream] += 1
            if per_stream[entry.stream] >= count:
                self._quiet.pop(entry.stream, None)
                self._busy[entry.stream] = entry.id

"""Trimming: keeps a stream near its bound without removing unfinished entries."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.runtime import plurals
from abe_redis.settings import Settings
from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

_LOG = logging.getLogger(__name__)

STEP = 100
"""Most entries that one call removes, so that large ones never block the server."""

_TRIM = Script.load("trim")


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The result for one stream."""

    removed: int
    """Number of removed entries, up to `STEP`."""
    blocked: bool
    """True when it is above its bound and some group still needs its oldest entry."""
    given_up: dict[str, int]
    """Per unused group, the number of removed entries that it had not finished."""
    unread: int = 0
    """Number of entries removed although no group had read them."""
    nobody_reads: bool = False
    """Whether there is no group, so that every entry is kept."""


async def trim(
    redis: Redis, streams: Sequence[str], maxlen: int, *, idle_days: float, unread: bool = False
) -> list[Trimmed]:
    """Remove entries beyond `maxlen` that every group has finished.

    A destroyed group counts, too, until an operator removes it with our commands.

    Args:
        streams: The streams; missing ones have nothing to remove.
        maxlen: Number of entries that stay.
        idle_days: Days after which an unused group no longer holds back trimming; 0: it always does.
        unread: Whether to remove also entries that no group has ever read.
    """
    arguments: list[Argument] = [maxlen, STEP, round(idle_days * 86_400_000), int(unread)]
    answers = await _TRIM.each(redis, streams, arguments, keys=names.with_records, most=slots.MANY_STREAMS)
    return [
        Trimmed(
            removed=max(0, removed),
            blocked=removed < 0,
            given_up={
                group.decode(errors="replace"): count
                for group, count in zip(given_up[::2], given_up[1::2], strict=True)
            },
            unread=max(0, lost),
            nobody_reads=lost < 0,
        )
        for removed, given_up, lost in answers
    ]


def is_over(length: int, maxlen: int) -> bool:
    """Whether a stream is longer than occasional trimming explains."""
    return length > maxlen + 2 * STEP


class Trimmer:
    """Trims now and then: after publishes and after acks, not after each.

    So a stream is above its bound by about `STEP` entries at times.
    """

    _PAUSE_SECONDS = 1.0
    """Time for which publishers do not try again when unfinished entries prevented trimming."""
    _STEPS = 10

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # A full stream must never hold finished entries only.
        self._maxlen = min(settings.redis_stream_maxlen, max(1, settings.redis_stream_hard_maxlen - 1))
        self._idle_days = settings.redis_stream_group_idle_days
        self._not_before: dict[str, float] = {}
        self._unread: set[str] = set()
        """Streams for which the log said that nobody reads them."""
        self._shortened: set[str] = set()
        """Streams for which the log said that their history is shorter than it should be."""

    def is_due(self, stream: str, length: int) -> bool:
        """Whether a publisher that sees this length should trim."""
        return length > self._maxlen + STEP and time.monotonic() >= self._not_before.get(stream, 0)

    def is_longer(self, length: int) -> bool:
        """Whether a stream of this length has more than it should keep."""
        return length > self._maxlen

    async def trim(self, redis: Redis, streams: Iterable[str]) -> list[str]:
        """Remove finished entries, in a bounded number of steps.

        Returns:
            The streams that can be trimmed further.
        """
        left, _ = await self._trim(
            redis, list(streams), self._maxlen, unread=self._settings.redis_stream_trim_unread
        )
        return left

    async def make_room(self, redis: Redis, streams: Iterable[str]) -> int:
        """Remove finished history before its time, since the server has no memory left.

        Returns:
            How many events it removed.
        """
        _, removed = await self._trim(redis, list(streams), 0, unread=False)
        for stream, count in removed.items():
            if stream not in self._shortened:
                self._shortened.add(stream)
                _LOG.warning(
                    "Redis has no memory left: finished history of %r goes before its time "
                    "(REDIS_STREAM_MAXLEN is %s), %s events so far; nothing that a group has yet to finish.",
                    stream,
                    self._maxlen,
                    count,
                )
        return removed.total()

    async def _trim(
        self, redis: Redis, streams: list[str], maxlen: int, *, unread: bool
    ) -> tuple[list[str], Counter[str]]:
        """Trim streams; returns those with more to remove, and the number of removed entries."""
        left = streams
        removed: Counter[str] = Counter()
        given_up: Counter[tuple[str, str]] = Counter()
        cut: Counter[str] = Counter()
        try:
            for _ in range(self._STEPS):
                if not left:
                    break
                answers = await trim(redis, left, maxlen, idle_days=self._idle_days, unread=unread)
                done = dict(zip(left, answers, strict=True))
                for stream, one in done.items():
                    removed[stream] += one.removed
                    cut[stream] += one.unread
                    given_up.update({(stream, group): count for group, count in one.given_up.items()})
                    if one.blocked:
                        self._not_before[stream] = time.monotonic() + self._PAUSE_SECONDS
                    self._say_unread(stream, nobody_reads=one.nobody_reads)
                left = [stream for stream, one in done.items() if one.removed == STEP]
        finally:  # also when there was no time for more
            self._say_given_up(given_up)
            self._say_cut(+cut)
        return left, +removed

    def _say_unread(self, stream: str, *, nobody_reads: bool) -> None:
        """Say once that nobody reads a stream, until somebody does."""
        if not nobody_reads:
            self._unread.discard(stream)
        elif stream not in self._unread:
            self._unread.add(stream)
            _LOG.warning(
                "Nobody reads %r: it has no group, so its events are kept beyond REDIS_STREAM_MAXLEN (%s), "
                "and none is taken beyond REDIS_STREAM_HARD_MAXLEN (%s). Start a consumer.",
                stream,
                self._maxlen,
                self._settings.redis_stream_hard_maxlen,
            )

    def _say_given_up(self, counts: Counter[tuple[str, str]]) -> None:
        for (stream, group), count in counts.items():
            _LOG.warning(
                "Gave up %s of %r that group %r had not finished: it has had no consumer for %g days "
                "(REDIS_STREAM_GROUP_IDLE_DAYS).",
                plurals.count(count, "event"),
                stream,
                group,
                self._idle_days,
            )

    def _say_cut(self, counts: Counter[str]) -> None:
        for stream, count in counts.items():
            _LOG.warning(
                "Removed %s of %r that nobody had read (REDIS_STREAM_TRIM_UNREAD).",
                plurals.count(count, "event"),
                stream,
            )

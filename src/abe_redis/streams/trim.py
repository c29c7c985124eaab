"""Keeping a stream near its bound without taking what somebody still needs."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.settings import Settings
from abe_redis.streams import names
from abe_redis.streams.scripts import Script

_LOG = logging.getLogger(__name__)

STEP = 100
"""How many entries one call removes at most, so that the server is never held up by large ones."""

_TRIM = Script.load("trim")


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What became of one stream."""

    removed: int
    """How many entries were removed, up to `STEP`."""
    blocked: bool
    """Whether it is above its bound and some group still needs its oldest entry."""
    given_up: dict[str, int]
    """Per group that nobody has used for long, how many of them it had not finished."""


async def trim(redis: Redis, streams: Sequence[str], maxlen: int, *, idle_days: float) -> list[Trimmed]:
    """Remove entries beyond `maxlen` that every group has finished.

    Args:
        streams: Where; a stream that does not exist has nothing to remove.
        maxlen: How many entries stay.
        idle_days: A group without a consumer for so long is not waited for; 0: every group is.
    """
    answers = await _TRIM.each(
        redis, streams, [maxlen, STEP, round(idle_days * 86_400_000)], keys=names.with_records
    )
    return [
        Trimmed(
            removed=max(0, removed),
            blocked=removed < 0,
            given_up={
                group.decode(errors="replace"): count
                for group, count in zip(given_up[::2], given_up[1::2], strict=True)
            },
        )
        for removed, given_up in answers
    ]


def is_over(length: int, maxlen: int) -> bool:
    """Whether a stream is longer than trimming now and then explains."""
    return length > maxlen + 2 * STEP


class Trimmer:
    """Trims now and then: after publishes and after acks, not after each.

    So a stream is above its bound by about `STEP` entries at times.
    """

    _PAUSE_SECONDS = 1.0
    """How long publishers leave a stream alone when work in it kept us from trimming."""
    _STEPS = 10

    def __init__(self, settings: Settings) -> None:
        self._maxlen = settings.redis_stream_maxlen
        self._idle_days = settings.redis_stream_group_idle_days
        self._not_before: dict[str, float] = {}

    def is_due(self, stream: str, length: int) -> bool:
        """Whether a publisher that sees this length should trim."""
        return length > self._maxlen + STEP and time.monotonic() >= self._not_before.get(stream, 0)

    async def trim(self, redis: Redis, streams: Iterable[str]) -> list[str]:
        """Remove what may go, in a bounded number of steps.

        Returns:
            The streams in which more may go.
        """
        left = list(streams)
        given_up: Counter[tuple[str, str]] = Counter()
        for _ in range(self._STEPS):
            if not left:
                break
            done = dict(
                zip(left, await trim(redis, left, self._maxlen, idle_days=self._idle_days), strict=True)
            )
            for stream, one in done.items():
                given_up.update({(stream, group): count for group, count in one.given_up.items()})
                if one.blocked:
                    self._not_before[stream] = time.monotonic() + self._PAUSE_SECONDS
            left = [stream for stream, one in done.items() if one.removed == STEP]
        for (stream, group), count in given_up.items():
            _LOG.warning(
                "Gave up %s events of %r that group %r had not finished: it has had no consumer for %g days "
                "(REDIS_STREAM_GROUP_IDLE_DAYS).",
                count,
                stream,
                group,
                self._idle_days,
            )
        return left

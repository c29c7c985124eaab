"""What a group's streams need now and then, done by whichever consumer comes by."""

import logging
from collections.abc import Iterable

from redis.asyncio import Redis

from abe_redis.consuming.discovery import say_lost
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import dead
from abe_redis.streams.consumers import forget_gone
from abe_redis.streams.groups import record_progress
from abe_redis.streams.trim import Trimmer

_LOG = logging.getLogger(__name__)

GONE_LEASES = 10
"""A consumer that holds nothing and was silent for so many leases is forgotten."""


class Maintenance:
    """Records what is finished, trims history, forgets consumers that are gone and old dead letters."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._group = group
        self._trimmer = Trimmer(settings)
        self._to_trim: set[str] = set()
        self._unfinished: set[str] = set()
        """Streams whose group was last seen with something to finish."""
        self._dead_days = settings.redis_stream_dead_days
        self._gone_seconds = GONE_LEASES * settings.redis_stream_lease_seconds
        self._sweep_seconds = 3 * settings.redis_stream_lease_seconds
        self._sweep_at = clock.now() + self._sweep_seconds

    async def tick(self, redis: Redis, streams: Iterable[str], active: set[str]) -> None:
        """Maintain the streams that are read; events were finished in the `active` ones."""
        if clock.now() >= self._sweep_at:
            self._sweep_at = clock.now() + self._sweep_seconds
            await self._sweep(redis, list(streams))
        await self._record(redis, sorted(active | self._unfinished))
        self._to_trim = set(await self._trimmer.trim(redis, sorted(self._to_trim | active)))

    async def _sweep(self, redis: Redis, streams: list[str]) -> None:
        await forget_gone(redis, self._group, streams, idle_seconds=self._gone_seconds)
        if self._dead_days and streams:
            for stream, count in (await dead.expire(redis, streams, days=self._dead_days)).items():
                _LOG.warning(
                    "Removed %s dead letters of %r that were older than %g days (REDIS_STREAM_DEAD_DAYS).",
                    count,
                    stream,
                    self._dead_days,
                )

    async def _record(self, redis: Redis, streams: list[str]) -> None:
        if streams:
            found = dict(zip(streams, await record_progress(redis, streams, self._group), strict=True))
            for stream, progress in found.items():
                say_lost(stream, self._group, progress.lost)
            self._unfinished = {stream for stream, progress in found.items() if progress.unfinished}

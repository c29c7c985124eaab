"""Signs of life of a consumer, by which others count it as alive while it waits."""

import math
from collections.abc import Container, Iterable, Sequence

from redis.asyncio import Redis

from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import consumers


class Presence:
    """Says in every stream of its group that a consumer is alive, and that it has left.

    It says so twice per lease, and every 15 seconds if the lease is longer than 30.
    """

    def __init__(self, settings: Settings, tolerance: Tolerance, group: str, consumer: str) -> None:
        self._group = group
        self._consumer = consumer
        self._tolerance = tolerance
        self._lease_seconds = settings.redis_stream_lease_seconds
        self._at = -math.inf
        """When the next signs are due."""
        self._told = set[str]()
        """Streams in which it has given a sign since."""

    async def tick(
        self, redis: Redis, streams: Sequence[str], *, busy: Container[str], new: Iterable[str] = ()
    ) -> None:
        """Give the signs that are due, and one in each stream that is new.

        Args:
            redis: The client.
            streams: The streams that have the group.
            busy: Those with an event in flight. Its lease and its renewals are signs enough; and were the
                consumer removed by somebody, another sign would hide that from them.
            new: Those whose group was made since the last tick; earlier signs are not in it.
        """
        self._told.difference_update(new)
        if clock.now() >= self._at:
            self._at = clock.now() + consumers.sign_seconds(self._lease_seconds)
            self._told = set()
        if new := [stream for stream in streams if stream not in self._told and stream not in busy]:
            await self._tolerance.attempt("saying that a consumer is alive", self._tell(redis, new))

    async def _tell(self, redis: Redis, streams: Sequence[str]) -> None:
        await consumers.note_alive(
            redis, self._group, self._consumer, streams, lease_seconds=self._lease_seconds
        )
        self._told.update(streams)

    async def end(self, redis: Redis, streams: Sequence[str]) -> None:
        """Say that it has left, and delete what it has recorded."""
        withdrawing = consumers.withdraw(redis, self._group, self._consumer, streams)
        await self._tolerance.attempt("removing what a consumer said of its leases", withdrawing)

"""Notices ordered and unordered consumers side by side in one group, and says so: no order is kept there."""

import logging
import math
import random
from collections.abc import Awaitable, Collection, Iterable, Sequence

from redis.asyncio import Redis

from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.runtime import clock
from abe_redis.runtime.plurals import some_of
from abe_redis.schemas.stats import is_agent, is_person
from abe_redis.settings import Settings
from abe_redis.streams import consumers, owners
from abe_redis.streams.owners import Owner

_LOG = logging.getLogger(__name__)

_EVERY_LEASES = 3
"""Leases between two looks."""

_LOOKED_AT = 16
"""Number of streams that an unordered consumer looks at: in a group with an ordered one all have an owner."""

_MOST_NAMED = 3


class MixedKinds:
    """What one consumer notices of consumers of the other kind in its group; it warns once."""

    def __init__(self, settings: Settings, tolerance: Tolerance, group: str, consumer: str) -> None:
        self._group = group
        self._consumer = consumer
        self._tolerance = tolerance
        self._lease_seconds = settings.redis_stream_lease_seconds
        self._at = -math.inf
        """When the next look is due; never, once it has warned."""
        self._suspect: str | None = None
        """A stream of ours of which somebody else was given entries."""

    async def look_for_ordered(self, redis: Redis, streams: Collection[str]) -> None:
        """Look, if it is time, whether ordered consumers own streams that this unordered one reads."""
        if streams and clock.now() >= self._at:
            some = random.sample(sorted(streams), min(_LOOKED_AT, len(streams)))
            await self._look(self._find_owners(redis, some))

    async def _find_owners(self, redis: Redis, streams: Sequence[str]) -> None:
        tokens = await owners.owners(redis, self._group, streams)
        if ordered := {stream: Owner.consumer_of(token) for stream, token in tokens.items() if token}:
            self._warn(min(ordered), ordered.values(), [self._consumer])

    def suspect(self, stream: str) -> None:
        """Note that somebody else was given entries of a stream which this ordered consumer owns."""
        self._suspect = stream

    async def look_for_unordered(self, redis: Redis, ordered: Collection[str]) -> None:
        """Look, if there is a suspicion and it is time, which unordered consumers are alive in the stream.

        Args:
            redis: The client.
            ordered: The names of the ordered consumers of the group.
        """
        stream = self._suspect
        if stream is not None and clock.now() >= self._at:
            self._suspect = None
            await self._look(self._find_unordered(redis, stream, ordered))

    async def _find_unordered(self, redis: Redis, stream: str, ordered: Collection[str]) -> None:
        alive = await consumers.alive_in(redis, self._group, stream, lease_seconds=self._lease_seconds)
        others = alive - {self._consumer, *ordered}
        if unordered := [name for name in others if not is_agent(name) and not is_person(name)]:
            self._warn(stream, [self._consumer], unordered)

    async def _look(self, looking: Awaitable[None]) -> None:
        self._at = clock.now() + _EVERY_LEASES * self._lease_seconds
        await self._tolerance.attempt("looking for consumers of the other kind", looking)

    def _warn(self, stream: str, ordered: Iterable[str], unordered: Iterable[str]) -> None:
        self._at = math.inf
        _LOG.warning(
            "Group %r of %r has ordered consumers (%s) and unordered ones (%s) side by side: events of one "
            "conversation may be handled at the same time, or out of order. Run all workers of the group "
            "with --ordered (consume_ordered), or none: stop those of the other kind.",
            *(self._group, stream, some_of(ordered, _MOST_NAMED), some_of(unordered, _MOST_NAMED)),
        )

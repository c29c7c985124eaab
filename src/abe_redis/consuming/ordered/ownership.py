"""Ownership of streams: each has one owner, and the ordered consumers of a group share them equally.

There is no coordinator. In each tick, every consumer announces itself, reads who owns what, claims unowned
streams up to its share, and revokes its ownership of streams beyond it. An owner that cannot renew in time
gives up by its own clock, before another consumer may claim the stream.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.runtime import clock
from abe_redis.streams import names, owners

_LOG = logging.getLogger(__name__)

_MARGIN = 0.1
"""Part of a lease that is the safety margin: an owner gives up before its key expires, since clocks differ
and loops are busy."""

_KEPT_LEASES = 10
"""Leases for which a stream stays where it is after its handlers did not end within a lease."""


@dataclass(slots=True)
class Owned:
    """A stream of ours."""

    until: float
    """The time, by `clock.now`, at which ownership ends without renewal."""
    asked_at: float
    """The time of the last request that confirmed the ownership."""
    last: str = ""
    """The last id that the group was given, as far as we know."""
    is_loaded: bool = False
    """Whether we have every unfinished entry that the group was given up to there."""
    leaving_since: float | None = None
    """The time at which its revocation began."""
    kept_until: float = 0.0
    """The time until which it is not revoked."""


def share(member: str, owned: Mapping[str, int], streams: int) -> int:
    """Number of streams that a consumer may own.

    All may own the same number. The remainder goes to those that already own most, so that no stream moves
    without need.

    Args:
        member: The consumer that asks.
        owned: Number of streams that each consumer owns.
        streams: Number of streams.
    """
    ranks = sorted(owned, key=lambda name: (-owned[name], name))
    each, left = divmod(streams, len(ranks))
    return each + (ranks.index(member) < left)


class Ownership:
    """The streams of one consumer."""

    def __init__(
        self,
        group: str,
        consumer: str,
        patterns: names.Patterns,
        *,
        lease_seconds: float,
        on_lost: Callable[[str], None],
    ) -> None:
        """Create it without any stream.

        Args:
            consumer: The name under which the consumer leases.
            patterns: The patterns of the shared streams.
            lease_seconds: Duration of an ownership without renewal.
            on_lost: Called with each stream that we have lost without giving it up.
        """
        self.streams: dict[str, Owned] = {}
        self.owner = owners.Owner.make(group, consumer, lease_seconds)
        self._patterns = patterns
        self._on_lost = on_lost

    def has(self, stream: str, now: float) -> bool:
        """Whether a stream is certainly ours at a time by `clock.now`."""
        owned = self.streams.get(stream)
        return owned is not None and now < owned.until and owned.asked_at >= clock.doubted_at()

    @property
    def is_leaving(self) -> bool:
        """Whether a stream is being revoked."""
        return any(owned.leaving_since is not None for owned in self.streams.values())

    def ends_at(self) -> float | None:
        """The time at which the first ownership ends without renewal; None while we own nothing."""
        return min((owned.until for owned in self.streams.values()), default=None)

    def expire(self, now: float) -> None:
        """Drop the streams that were not renewed in time."""
        for stream, owned in list(self.streams.items()):
            if now >= owned.until:
                self.lose(stream)

    def lose(self, stream: str) -> None:
        """Note that a stream is no longer ours."""
        if self.streams.pop(stream, None) is not None:
            _LOG.warning("Consumer %r does not own %r any more.", self.owner.consumer, stream)
            self._on_lost(stream)

    async def renew(self, redis: Redis) -> None:
        """Renew our ownerships for another lease; streams that we no longer own are lost."""
        if not self.streams:
            return
        asked, asked_at = list(self.streams), clock.now()
        ours = set(await owners.renew(redis, self.owner, asked))
        for stream in asked:
            if stream not in ours:
                self.lose(stream)
            elif (owned := self.streams.get(stream)) is not None:
                owned.until, owned.asked_at = self._until(asked_at), asked_at

    async def rebalance(self, redis: Redis, streams: Sequence[str], busy: Container[str]) -> None:
        """Claim unowned streams up to our share, and begin to revoke streams beyond it.

        Args:
            streams: All shared streams.
            busy: Streams in which a handler of ours runs, or an event is not settled.
        """
        token = self.owner.token
        members = await owners.meet(redis, self.owner, self._patterns, stay=True)
        found = await owners.owners(redis, self.owner, streams)
        counts = Counter(dict.fromkeys((*members, token), 0))
        counts.update(owner for owner in found.values() if owner in counts)
        staying = [stream for stream, owned in self.streams.items() if owned.leaving_since is None]
        counts[token] = len(staying)
        missing = share(token, counts, len(streams)) - len(staying)
        if missing < 0:
            self._part_with(-missing, staying, busy)
        for stream in self._draining(streams)[: max(0, missing)]:
            self.streams[stream].leaving_since = None
            missing -= 1
        # This includes streams that became ours by a command whose answer was lost.
        free = [name for name, owner in found.items() if owner in {"", token} and name not in self.streams]
        if missing > 0 and free:
            await self._take(redis, [stream for stream in free if stream not in busy], missing)
        for stream in self.streams.keys() - set(streams):  # it is paused, or gone
            self._leave(stream)

    def _part_with(self, count: int, staying: list[str], busy: Container[str]) -> None:
        now = clock.now()
        candidates = [stream for stream in staying if self.streams[stream].kept_until <= now]
        for stream in sorted(candidates, key=lambda stream: stream in busy)[:count]:
            self._leave(stream)

    def _draining(self, among: Container[str]) -> list[str]:
        return [
            stream
            for stream, owned in self.streams.items()
            if owned.leaving_since is not None and stream in among
        ]

    async def _take(self, redis: Redis, free: list[str], count: int) -> None:
        asked_at = clock.now()
        # In random order, since others choose at the same time.
        chosen = random.sample(free, min(count, len(free)))
        for stream in await owners.own(redis, self.owner, chosen) if chosen else ():
            self.streams[stream] = Owned(self._until(asked_at), asked_at)
            _LOG.info("Consumer %r owns %r.", self.owner.consumer, stream)

    def leave_all(self) -> None:
        """Begin to revoke all."""
        for stream in self.streams:
            self._leave(stream)

    def _leave(self, stream: str) -> None:
        owned = self.streams[stream]
        if owned.leaving_since is None:
            owned.leaving_since = clock.now()

    def keep_slow(self) -> None:
        """Keep the streams whose handlers did not end within a lease of their revocation."""
        now = clock.now()
        for owned in self.streams.values():
            if owned.leaving_since is not None and now - owned.leaving_since > self.owner.lease_seconds:
                owned.leaving_since = None
                owned.kept_until = now + _KEPT_LEASES * self.owner.lease_seconds

    async def release_streams(self, redis: Redis, streams: Sequence[str]) -> None:
        """Release streams in which no event of ours is left."""
        for stream in streams:
            if self.streams.pop(stream, None) is not None:
                _LOG.info("Consumer %r gives %r away.", self.owner.consumer, stream)
        await owners.disown(redis, self.owner, streams)

    async def quit(self, redis: Redis) -> None:
        """Leave the ordered consumers, so that the others claim our streams soon."""
        await owners.meet(redis, self.owner, self._patterns, stay=False)

    def _until(self, asked_at: float) -> float:
        """Expiry of an ownership that was requested at a time, minus the safety margin."""
        return asked_at + (1 - _MARGIN) * self.owner.lease_seconds

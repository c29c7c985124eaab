"""Ownership of streams: each has one owner, and the ordered consumers of a group share them equally.

There is no coordinator. In each tick, every consumer announces itself, reads who owns what, claims unowned
streams up to its share, and revokes its ownership of streams beyond it. An owner that cannot renew in time
gives the stream up by its own clock, before another consumer may claim it.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence

from redis.asyncio import Redis

from abe_redis.consuming.ordered.owned_stream import OwnedStream, State
from abe_redis.runtime import clock
from abe_redis.streams import names, owners, slots
from abe_redis.streams.patterns import Patterns

_LOG = logging.getLogger(__name__)

_MARGIN = 0.1
"""Part of a lease that is the safety margin: an owner gives up before its key expires, since clocks differ
and loops are busy."""

_KEPT_LEASES = 10
"""Number of leases for which a stream keeps its owner after its handlers did not end within a lease."""


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
        patterns: Patterns,
        away: Collection[str] = (),
        *,
        lease_seconds: float,
        on_lost: Callable[[str], None],
    ) -> None:
        """Create it without any stream.

        Args:
            consumer: The name under which the consumer leases.
            patterns: The patterns of the shared streams.
            away: Streams whose node is away. They are neither claimed nor revoked; ours are ours until they
                expire by our clock.
            lease_seconds: Duration of an ownership without renewal.
            on_lost: Called with each stream that we have lost without giving it up.
        """
        self._away = away
        self.streams: dict[str, OwnedStream] = {}
        self.owner = owners.Owner.make(group, consumer, lease_seconds)
        self.known = set[str]()
        """The names of the ordered consumers of the group that were alive at the last tick."""
        self._patterns = patterns
        self._on_lost = on_lost

    def has(self, stream: str, now: float) -> bool:
        """Whether a stream is certainly ours at a time by `clock.now`."""
        owned = self.streams.get(stream)
        return owned is not None and owned.is_certain(now)

    def in_state(self, *states: State) -> dict[str, OwnedStream]:
        """The streams in one of these states."""
        return {stream: owned for stream, owned in self.streams.items() if owned.state in states}

    def here(self, *states: State) -> dict[str, OwnedStream]:
        """Those of them that are not away."""
        return {stream: owned for stream, owned in self.in_state(*states).items() if stream not in self._away}

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
        if not (asked := [stream for stream in self.streams if stream not in self._away]):
            return
        asked_at = clock.now()
        ours = set(await owners.renew(redis, self.owner, asked))
        for stream in asked:
            if stream not in ours:
                self.lose(stream)
            elif (owned := self.streams.get(stream)) is not None:
                owned.confirm(asked_at, self._until(asked_at))

    async def rebalance(self, redis: Redis, streams: Sequence[str], busy: Container[str]) -> None:
        """Claim unowned streams up to our share, and begin to revoke streams beyond it.

        Args:
            streams: All shared streams.
            busy: Streams in which a handler of ours runs, or an event is not settled.
        """
        if not slots.is_here(redis, names.members(self.owner.group, self._patterns)):
            return  # who shares the streams, only that node knows
        token = self.owner.token
        members = await owners.meet(redis, self.owner, self._patterns, stay=True)
        found = await owners.owners(redis, self.owner.group, streams)
        self.known = {owners.Owner.consumer_of(one) for one in (*members, *found.values())}
        counts = Counter(dict.fromkeys((*members, token), 0))
        counts.update(owner for owner in found.values() if owner in counts)
        staying = list(self.here(State.CLAIMED, State.READY))
        counts[token] = len(staying)
        missing = share(token, counts, len(streams)) - len(staying)
        if missing < 0:
            self._revoke_some(-missing, staying, busy)
        revoking = [stream for stream in self.in_state(State.REVOKING) if stream in streams]
        for stream in revoking[: max(0, missing)]:
            self.streams[stream].keep()
            missing -= 1
        # This includes streams that became ours by a command whose answer was lost.
        free = [name for name, owner in found.items() if owner in {"", token} and name not in self.streams]
        if missing > 0 and free:
            await self._claim(redis, [stream for stream in free if stream not in busy], missing)
        for stream in self.streams.keys() - set(streams):  # it is paused, or gone
            if stream not in self._away:
                self.streams[stream].revoke()

    def _revoke_some(self, count: int, staying: list[str], busy: Container[str]) -> None:
        now = clock.now()
        candidates = [stream for stream in staying if self.streams[stream].kept_until <= now]
        for stream in sorted(candidates, key=lambda stream: stream in busy)[:count]:
            self.streams[stream].revoke()

    async def _claim(self, redis: Redis, free: list[str], count: int) -> None:
        asked_at = clock.now()
        # In random order, since others choose at the same time.
        chosen = random.sample(free, min(count, len(free)))
        for stream in await owners.own(redis, self.owner, chosen) if chosen else ():
            self.streams[stream] = OwnedStream(self._until(asked_at), asked_at)
            _LOG.info("Consumer %r owns %r.", self.owner.consumer, stream)

    def revoke_all(self) -> None:
        """Begin to revoke all."""
        for owned in self.streams.values():
            owned.revoke()

    def keep_slow(self) -> None:
        """Keep the streams whose handlers did not end within a lease of their revocation."""
        now, lease_seconds = clock.now(), self.owner.lease_seconds
        for owned in self.streams.values():
            owned.keep_if_slow(now, patience=lease_seconds, kept_for=_KEPT_LEASES * lease_seconds)

    async def release_streams(self, redis: Redis, streams: Sequence[str]) -> None:
        """Release streams in which no event of ours is left."""
        for stream in streams:
            if self.streams.pop(stream, None) is not None:
                _LOG.info("Consumer %r releases %r.", self.owner.consumer, stream)
        await owners.disown(redis, self.owner, streams)

    async def quit(self, redis: Redis) -> None:
        """Leave the ordered consumers, so that the others claim our streams soon."""
        if slots.is_here(redis, names.members(self.owner.group, self._patterns)):  # else it expires
            await owners.meet(redis, self.owner, self._patterns, stay=False)

    def _until(self, asked_at: float) -> float:
        """Expiry of an ownership that was requested at a time, minus the safety margin."""
        return asked_at + (1 - _MARGIN) * self.owner.lease_seconds

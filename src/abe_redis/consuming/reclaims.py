"""When and where a consumer looks for entries that nobody holds: in rounds, and when its own are due."""

import math
from collections.abc import Collection
from functools import partial

from redis.asyncio import Redis

from abe_redis.consuming.discovery import say_all_lost
from abe_redis.consuming.due_times import DueTimes
from abe_redis.consuming.held import Held
from abe_redis.consuming.rounds import Rounds
from abe_redis.runtime import clock
from abe_redis.streams import lease
from abe_redis.streams.reclaim import reclaim

_LISTED_SECONDS = 1.0
"""Time for which one consumer's list of pending entries does for all; each tick lists them again."""

_MOST_REDELIVERED = 32
"""Most entries to reclaim at once of which some may have killed their handler."""


class Reclaims:
    """The looks of one consumer for entries that nobody holds, or that are due."""

    def __init__(self, group: str, name: str, *, lease_seconds: float, every_seconds: float) -> None:
        """Begin with a round.

        Args:
            group: The group.
            name: The consumer.
            lease_seconds: How long its leases last.
            every_seconds: Interval of the rounds.
        """
        self._group = group
        self._name = name
        self._lease_seconds = lease_seconds
        self._every_seconds = every_seconds
        self._rounds = Rounds(lease_seconds=lease_seconds, every_seconds=every_seconds)
        self._round_at = 0.0
        self._due_times = DueTimes()

    @property
    def due_at(self) -> float:
        """When an event is due that this consumer has postponed; infinite if it does not know of any."""
        return self._due_times.next_at

    @property
    def may_be_due(self) -> bool:
        """Whether it knows of such an event."""
        return self.due_at < math.inf

    def begin_anew(self) -> None:
        """Begin with a round at once: the consumer has joined, or does not know what a read has leased."""
        self._round_at = 0.0

    def expect(self, streams: Collection[str]) -> None:
        """Note that these streams have pending entries, or will have."""
        self._rounds.expect(streams)

    def note_postponed(self, held: Held, delay: float) -> None:
        """Note that an event is postponed, to look for it when it is due."""
        self.expect([held.entry.stream])
        self._due_times.note(held.entry.stream, clock.now(), delay)

    async def take(
        self, redis: Redis, ready: Collection[str], *, batch: int, ahead: int, beside_read: bool
    ) -> list[lease.Leased]:
        """Lease abandoned entries, and our own that are due, if it is time to look.

        If one of them kills this process, those beside it did not begin, and their counts stay; but they wait
        for another lease.

        Args:
            redis: The server.
            ready: The streams that are read.
            batch: Number of events that are leased at once.
            ahead: Number of events that may be leased if no handler had them before.
            beside_read: Whether a blocking read of the consumer may be under way, or without its answer.
        """
        most = min(batch, _MOST_REDELIVERED)
        reclaim_some = partial(self._reclaim, redis, most=most, fresh=ahead, beside_read=beside_read)
        due = self._due_times.take(clock.now(), ready)
        if clock.now() >= self._round_at:
            recent = _LISTED_SECONDS if self._round_at else 0
            streams = self._rounds.next(ready)  # which has those of what is due
            leased = await reclaim_some(streams, recent_seconds=recent)
            self._round_at = clock.now() + (0 if leased else self._every_seconds)
        elif due:
            leased = await reclaim_some(due, recent_seconds=_LISTED_SECONDS)
            if len(leased) >= most:  # there may be more
                self._due_times.look_again(due, clock.now())
        else:
            return []
        return leased

    async def _reclaim(
        self,
        redis: Redis,
        streams: list[str],
        *,
        most: int,
        fresh: int,
        recent_seconds: float,
        beside_read: bool,
    ) -> list[lease.Leased]:
        leased, lost = await reclaim(
            *(redis, self._group, self._name, streams),
            lease_seconds=self._lease_seconds,
            count=most,
            fresh=fresh,
            begun=False,
            recent_seconds=recent_seconds,
            beside_read=beside_read,
            places=self._rounds.places,
        )
        say_all_lost(lost, self._group)
        return leased

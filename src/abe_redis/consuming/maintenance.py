"""Regular maintenance of a group's streams, which any consumer of the group does.

None of it is needed for reading: see `tolerance`.
"""

import logging
import math
from collections.abc import Collection, Iterable, Sequence
from itertools import batched

from redis.asyncio import Redis

from abe_redis.consuming.discovery import say_lost
from abe_redis.consuming.older_data import OlderData
from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.runtime import clock, plurals
from abe_redis.settings import Settings
from abe_redis.streams import beyond_end, clock_steps, dead
from abe_redis.streams.consumers import GONE_LEASES, forget_gone
from abe_redis.streams.groups import record_progress
from abe_redis.streams.losses import say_put_back
from abe_redis.streams.trim import Trimmer

_LOG = logging.getLogger(__name__)

_RECENT_SECONDS = 0.7
"""Time for which what one consumer of a group has recorded does for all.

It is less than a tick: who recorded a stream does so again at its next tick, unless another has come first.
"""

_LATE_SECONDS = 1.0
"""By how much a tick may come later than something is due."""

_UNREAD_AT_A_TICK = 100
"""Number of streams of which nothing is read that are recorded at a tick, in turn: two seconds for 250."""

_ROOM = 1000
"""Number of finished events removed when the server is full; after fewer it is full again at once."""

_ROOM_FROM = 10
"""Number of streams from which they are removed at a time, until there are enough."""


class Maintenance:
    """Records progress, trims history, and removes dead consumers and old dead letters."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        tolerance: Tolerance,
        away: Collection[str] = (),
        consumer: str = "",
    ) -> None:
        """Maintain nothing yet.

        Args:
            settings: How much history is kept, and for how long.
            group: The group.
            tolerance: Runs what Redis may refuse.
            away: Streams whose node is away; they are maintained when it is back.
            consumer: The consumer that maintains them.
        """
        self.given_up = dict[str, str]()
        """Streams in which a person took something from the consumer, each with the number by which it
        confirms that it let go of that."""
        self.without_group = set[str]()
        """Streams that had no group at the last record: somebody deleted the stream or the group."""
        self._turn = 0
        """Where the streams begin, of which nothing is read, that are recorded next."""
        self._consumer = consumer
        self._away = away
        self._settings = settings
        self._group = group
        self._tolerance = tolerance
        self._trimmer = Trimmer(settings)
        self._to_trim: set[str] = set()
        self._short: set[str] = set()
        """Streams that had nothing to trim at the last check."""
        self._long: set[str] = set()
        """Streams recorded in this tick in which something may be to trim, whoever finished it."""
        self._sizes: dict[str, tuple[int, int]] = {}
        """Of long streams, how many entries they had at the last check, and how many were unfinished."""
        self._left_out: set[str] = set()
        """Streams that another consumer has just recorded, and trims; they are looked at in the next tick."""
        self._unfinished: set[str] = set()
        """Streams whose group had unfinished entries at the last check."""
        self._is_full = False
        """Whether the server had no memory left at the last attempt to record something."""
        self._room = 0
        """Number of finished events removed early because the server had no memory left."""
        self._dead_days = settings.redis_stream_dead_days
        self._gone_seconds = GONE_LEASES * settings.redis_stream_lease_seconds
        self._lease_seconds = settings.redis_stream_lease_seconds
        self._clock_at = -math.inf
        self._shown = dict[str, int]()
        """What the server's clock showed at the last check, by stream: a cluster has several clocks."""
        self._older_data = OlderData(group)
        self._sweep_seconds = 3 * settings.redis_stream_lease_seconds
        self._sweep_at = clock.now() + self._sweep_seconds

    async def tick(
        self,
        redis: Redis,
        streams: Iterable[str],
        active: set[str],
        held: set[str],
        unread: Sequence[str] = (),
    ) -> None:
        """Maintain the streams that are read.

        Args:
            redis: The client.
            streams: The streams.
            active: Those in which an event was finished.
            held: Those of which the consumer has an event.
            unread: Those of which nothing is read at present, so that nothing else counts what they lose.
        """
        streams, asks_memory = list(streams), self._is_full
        if clock.now() >= self._sweep_at:
            self._sweep_at = clock.now() + self._sweep_seconds
            await self._tolerance.attempt("tidying up", self._sweep(redis, streams))
        if clock.now() >= self._clock_at:
            self._clock_at = clock.now() + clock_steps.every_seconds(self._lease_seconds) - _LATE_SECONDS
            self._shown = {one: self._shown[one] for one in streams if one in self._shown}
            looking = clock_steps.mend(
                redis, self._group, streams, lease_seconds=self._lease_seconds, shown=self._shown
            )
            await self._tolerance.attempt("looking at the server's clock", looking)
            await self._place(redis, streams)
            asks_memory = True
        # Also streams in which nothing was finished: more may have been published to them.
        away = {stream for stream in active | self._unfinished | held | self._to_trim if stream in self._away}
        others = self._some_of(unread) - (active | self._unfinished | held)
        recorded = sorted((active | self._unfinished | held | others) - away)
        if asks_memory and not recorded:  # one is enough to find out; who publishes may be refused meanwhile
            recorded = streams[:1]
        self._short, self._long, self._left_out = set(), set(), set()
        await self._tolerance.attempt("recording what is finished", self._record(redis, recorded))
        self._unfinished = (self._unfinished - others) | away
        if self._older_data.noticed:  # perhaps in other streams, too
            await self._place(redis, streams)
            self._older_data.say()
        await self._tolerance.attempt("trimming", self._trim(redis, streams, active - away))
        self._to_trim |= away & active

    def _some_of(self, unread: Sequence[str]) -> set[str]:
        """Some of the streams of which nothing is read; all of them have their turn."""
        begin = self._turn if self._turn < len(unread) else 0
        self._turn = begin + _UNREAD_AT_A_TICK
        return set(unread[begin : self._turn])

    async def end(self, redis: Redis, streams: Iterable[str], active: set[str]) -> None:
        """Record once more what is finished: nobody may come to do so before somebody destroys the group.

        Args:
            streams: The streams that were read.
            active: Those in which an event was finished or postponed since the last tick.
        """
        recorded = [stream for stream in streams if stream in active | self._unfinished]
        await self._tolerance.attempt(
            "recording what is finished", self._record(redis, recorded, is_last=True)
        )

    async def _place(self, redis: Redis, streams: list[str]) -> None:
        """Look where the group stands, and whether Redis has older data than before."""

        async def look() -> None:
            self._older_data.look(await beyond_end.set_back(redis, self._group, streams))

        await self._tolerance.attempt("looking where the group stands", look())

    async def _sweep(self, redis: Redis, streams: list[str]) -> None:
        await forget_gone(redis, self._group, streams, idle_seconds=self._gone_seconds)
        if self._dead_days and streams:
            for stream, count in (await dead.expire(redis, streams, days=self._dead_days)).items():
                _LOG.warning(
                    "Removed %s of %r older than %g days (REDIS_STREAM_DEAD_DAYS).",
                    plurals.count(count, "dead letter"),
                    stream,
                    self._dead_days,
                )

    async def _record(self, redis: Redis, streams: list[str], *, is_last: bool = False) -> None:
        self.given_up, self.without_group = {}, set()
        if streams:
            # While the server is full, each consumer has to find out when it has memory again.
            recent = 0 if self._is_full or is_last else _RECENT_SECONDS
            recorded = await record_progress(
                redis, streams, self._group, recent_seconds=recent, consumer=self._consumer
            )
            found = dict(zip(streams, recorded, strict=True))
            for stream, progress in found.items():
                say_lost(stream, self._group, progress.lost - progress.unlisted)
                say_put_back(stream, self._group, progress.put_back)
            self.given_up = {stream: one.given_up for stream, one in found.items() if one.given_up}
            self._older_data.look({stream: progress.trail for stream, progress in found.items()})
            self._unfinished = {stream for stream, progress in found.items() if progress.unfinished}
            self._left_out = {stream for stream, progress in found.items() if progress.is_left_out}
            self.without_group = {stream for stream, progress in found.items() if progress.has_no_group}
            lengths = {stream: progress.length for stream, progress in found.items() if progress.length >= 0}
            sizes = {
                one: (length, found[one].unfinished)
                for one, length in lengths.items()
                if self._trimmer.is_longer(length)
            }
            self._short = lengths.keys() - sizes.keys()
            self._long = {one for one, size in sizes.items() if size != self._sizes.get(one)}
            self._sizes = sizes
            if looked_at := [progress for progress in recorded if not progress.is_left_out]:
                self._note_memory(is_full=any(progress.is_full for progress in looked_at))

    def _note_memory(self, *, is_full: bool) -> None:
        if is_full and not self._is_full:
            _LOG.warning(
                "Redis at %s has no memory left: publishing is refused. Group %r still reads and acks, and "
                "what it finishes is removed at once to make room, up to the first entry that is not "
                "finished. `abe-redis doctor` says what holds the memory, and what frees it.",
                self._settings.redis_url,
                self._group,
            )
        if self._is_full and not is_full:
            _LOG.warning("Redis at %s has memory again.", self._settings.redis_url)
        self._is_full = is_full
        if is_full:
            self._room = _ROOM

    async def _trim(self, redis: Redis, streams: list[str], active: set[str]) -> None:
        if not self._room:
            to_trim = (self._to_trim | active | self._long) - self._short - self._left_out
            later = {stream for stream in to_trim if stream in self._away}
            self._to_trim = later | set(await self._trimmer.trim(redis, sorted(to_trim - later)))
            return
        # Also where nothing was finished lately: older finished events may still be there.
        self._to_trim |= active
        removed = 0
        for some in batched(
            sorted(one for one in {*streams, *self._to_trim} if one not in self._away), _ROOM_FROM
        ):
            removed += await self._trimmer.make_room(redis, some)
            if removed >= self._room:
                break
        self._room = max(0, self._room - removed)
        if not (removed or self._unfinished or self._is_full):  # there is nothing more to remove
            self._room = 0

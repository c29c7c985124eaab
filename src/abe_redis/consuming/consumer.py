"""A consumer of events in any order, each under a lease of its own, with prefetch."""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import override

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.consuming.base import TICK_SECONDS, GroupConsumer
from abe_redis.consuming.blocking_reads import BlockingReads
from abe_redis.consuming.discovery import say_all_lost
from abe_redis.consuming.in_flight import Held
from abe_redis.consuming.prefetch import Prefetch
from abe_redis.events.event import Event
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import lease, names


class Consumer(GroupConsumer):
    """A `GroupConsumer` that takes any event that no other consumer holds."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        settings: Settings,
        patterns: names.Patterns,
        *,
        group: str,
        name: str,
    ) -> None:
        self._buffer = deque[Held]()
        super().__init__(connections, settings, patterns, group=group, name=name, buffer=self._buffer)
        self._half_lease_seconds = settings.redis_stream_lease_seconds / 2
        self._prefetch = Prefetch()
        self._blocking_reads = BlockingReads[lease.Leased]()
        self._unseen = False
        """Whether a read failed whose answer may have leased us something."""
        self._left: dict[str, None] = {}
        """Streams that are looked at anew, in which it may have been so."""
        self._abandoned_at = 0.0

    # What a caller does -----------------------------------------------------------------------

    @override
    def get_nowait(self) -> Held | None:
        if self._closed or self._draining:
            return None
        held = self._take_fresh()
        if self._prefetch.has_room(len(self._buffer)):
            self._wanted.set()
        return held

    def _take_fresh(self) -> Held | None:
        while self._buffer:
            held = self._buffer[0]
            if held.lost or self._is_stale(held):
                return None
            self._buffer.popleft()
            if self._deliver(held):
                return held
        return None

    @override
    async def _take_from_buffer(self) -> Held | None:
        buffer = self._buffer
        while buffer:
            held = buffer[0]
            fresh = await self._is_fresh(held)
            if self._closed:  # which gives it back
                return None
            if not buffer or buffer[0] is not held:
                continue
            buffer.popleft()
            if fresh and self._deliver(held):
                return held
        return None

    async def _is_fresh(self, held: Held) -> bool:
        """Whether the lease of a buffered event is still ours, since the process may have been frozen."""
        while not held.lost and self._is_stale(held):  # ask again, if the process stood still meanwhile
            try:
                await self._in_flight.renew_these((await self._open()).commands, [held])
            except failures.FAILURES:
                held.lost = True  # its lease may have expired; the next consumer that takes it delivers it
        return not held.lost

    def _is_stale(self, held: Held) -> bool:
        """Whether a lease may have expired, as far as this process can know."""
        is_old = clock.now() >= held.leased_at + self._half_lease_seconds
        return is_old or held.leased_at < clock.doubted_at()

    @override
    async def nack(self, event: Event, *, delay: float, reason: str | None) -> None:
        self._abandoned_at = min(self._abandoned_at, clock.now() + delay)
        await super().nack(event, delay=delay, reason=reason)

    # What the task does -----------------------------------------------------------------------

    @override
    async def _turn(self, connections: Connections) -> None:
        redis, in_flight = connections.commands, self._in_flight
        if self._unseen:
            await self._blocking_reads.end()
            await in_flight.give_back_unseen(redis, self._joined())
            self._unseen, self._abandoned_at = False, 0.0
            self._left.clear()
        # In every turn: entries that have come are leased, and their renewal must not wait until they are
        # wanted.
        self._accept(news := self._blocking_reads.collect())
        self._scheduler.note_news(news)
        if clock.now() >= self._tick_at:
            await self._tick(redis)
        if clock.now() >= self._renew_at:
            await self._renew_held(redis)
        if self._draining and self._buffer:
            await in_flight.give_back_buffered(redis, list(self._buffer))
        seconds = self._seconds_left()
        if not self._wants_more() or not self._discovery.ready:
            await self._pause(seconds)
        else:
            self._ack_batcher.reading.set()
            if clock.now() < self._abandoned_at or not await self._take_abandoned(redis):
                await self._take_new(connections, seconds)

    @override
    def _turn_failed(self, error: BaseException) -> None:
        self._unseen = True
        if failures.stream_is_gone(error):
            self._recheck()

    @override
    def _recheck(self) -> None:
        self._left.update(dict.fromkeys(self._discovery.joined))
        super()._recheck()

    def _joined(self) -> list[str]:
        """Streams in whose group we may hold entries."""
        return list(self._left | dict.fromkeys(self._discovery.joined))

    def _wants_more(self) -> bool:
        """Whether to lease another batch: a caller waits for it, or soon will."""
        wanted = self._waiting or self._prefetch.ahead > 1
        return wanted and not self._draining and self._prefetch.has_room(len(self._buffer))

    async def _tick(self, redis: Redis) -> None:
        """Discover and maintain streams; release entries of paused ones, and unused prefetched ones."""
        await self._discovery.tick(redis)
        if held := self._in_flight.buffered_in(self._discovery.paused):
            await self._in_flight.give_back_buffered(redis, held)
        if self._buffer and not self._waiting and self._prefetch.is_slow(self._in_flight.delivered_at):
            await self._in_flight.give_back_buffered(redis, list(self._buffer))
            self._abandoned_at = 0.0
        await self._maintain(redis, self._discovery.ready)

    async def _take_new(self, connections: Connections, seconds: float) -> None:
        self._scheduler.follow(self._discovery.ready)
        most = self._prefetch.batch
        if self._scheduler.is_quiet:
            streams = list(self._discovery.ready)
            count = max(1, most // len(streams))

            async def read(some: Sequence[str]) -> list[lease.Leased]:
                return await lease.take_new(
                    *(connections.blocking, self.group, self.name, some),
                    count=count,
                    block_ms=round(seconds * 1000),
                )

            waiting = self._blocking_reads.wait(connections.blocking, streams, read, seconds=seconds)
            leased = await self._accepted(waiting)
            self._scheduler.note_news(leased)
        else:
            await self._accepted(self._more(connections.commands, most))

    async def _more(self, redis: Redis, most: int) -> list[lease.Leased]:
        taken = await lease.take_more(redis, self.group, self.name, self._scheduler.plan(most), most=most)
        self._note(taken)
        return taken.leased

    async def _take_abandoned(self, redis: Redis) -> bool:
        """Reclaim abandoned entries; one by one, if they may be what killed their handler."""
        leased = await self._accepted(self._abandoned(redis))
        if not leased:
            self._abandoned_at = clock.now() + 2 * TICK_SECONDS
        return bool(leased)

    async def _abandoned(self, redis: Redis) -> list[lease.Leased]:
        leased, lost = await lease.reclaim(
            redis,
            self.group,
            self.name,
            # In a different order each time, so that no stream is always last.
            random.sample(list(self._discovery.ready), len(self._discovery.ready)),
            lease_seconds=self._settings.redis_stream_lease_seconds,
            count=1,
            fresh=self._prefetch.ahead,
        )
        say_all_lost(lost, self.group)
        return leased

    async def _accepted(self, taking: Awaitable[list[lease.Leased]]) -> list[lease.Leased]:
        """Take in the entries that a read leased."""
        self._unseen = True
        leased = await taking
        self._unseen = False
        self._accept(leased)
        return leased

    @override
    def _accept(self, leased: list[lease.Leased]) -> list[Held]:
        accepted = super()._accept(leased)
        if leased:
            self._prefetch.note_batch(self._in_flight.delivered, self._in_flight.largest_bytes)
        return accepted

    # The end ----------------------------------------------------------------------------------

    @override
    async def _end_reads(self) -> None:
        self._unseen |= self._blocking_reads.are_under_way
        await self._blocking_reads.end()

    @override
    async def _let_go(self, redis: Redis) -> None:
        await self._in_flight.give_back(redis, self._joined(), unseen=self._unseen)

"""A consumer of events in any order, each under a lease of its own, with prefetch."""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import override

import anyio
import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.consuming.blocking_reads import BlockingReads
from abe_redis.consuming.group_consumer import TICK_SECONDS, GroupConsumer
from abe_redis.consuming.held import Held
from abe_redis.consuming.prefetch import MOST_AHEAD, Prefetch
from abe_redis.consuming.reclaims import Reclaims
from abe_redis.consuming.unconfirmed import Doubt, Unconfirmed
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import lease, owners, renewal
from abe_redis.streams.patterns import Patterns

_RECLAIM_SECONDS = 2 * TICK_SECONDS
"""Interval of looking for entries that no consumer holds any more."""

_MOST_TURNS = 16
"""Turns of the event loop in which callers may take what a blocking read brought, before it is uncounted."""

_AGAIN_SECONDS = 0.1
"""Pause before asking Redis again about an event, after it did not answer."""


class Consumer(GroupConsumer):
    """A `GroupConsumer` that takes any event that no other consumer holds."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        settings: Settings,
        patterns: Patterns,
        *,
        group: str,
        name: str,
    ) -> None:
        self._buffer = deque[Held]()
        super().__init__(connections, settings, patterns, group=group, name=name, buffer=self._buffer)
        self._half_lease_seconds = settings.redis_stream_lease_seconds / 2
        self._prefetch = Prefetch()
        self._blocking_reads = BlockingReads[lease.Leased](leases=True)
        self._waits = BlockingReads[str](leases=False)
        self._positions: dict[str, str] = {}
        """The last id that the group was given of each stream, as far as we know."""
        self._counts_fetch = settings.redis_stream_max_deliveries > 1
        """Whether one event that is fetched for a waiting caller counts as delivered at once.

        With a limit of one delivery, it counts only when its handler has begun.
        """
        self._unconfirmed = Unconfirmed()
        self._reclaims = Reclaims(
            *(group, name),
            lease_seconds=settings.redis_stream_lease_seconds,
            every_seconds=_RECLAIM_SECONDS,
        )
        self._in_flight.on_postponed = self._postponed

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
            if held.lost or held.entry.again or self._is_stale(held):
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
            try:
                fresh = await self._is_fresh(held)
            except failures.FAILURES as error:
                if failures.stream_is_gone(error):
                    self._recheck()
                await anyio.sleep(_AGAIN_SECONDS)
                continue
            if self._closed:  # closing releases it
                return None
            if not buffer or buffer[0] is not held:
                continue
            buffer.popleft()
            if fresh and self._deliver(held):
                return held
        return None

    async def _is_fresh(self, held: Held) -> bool:
        """Whether we still hold a buffered event: the process may have been frozen since its lease.

        If the event may have killed a process before, this delivery counts from now on.
        """
        if held.entry.again and not held.lost:
            await self._ack_batcher.send()
            if not await self._in_flight.start((await self._open()).commands, held):
                return False
        while not held.lost and self._is_stale(held):  # again, if it froze while it waited
            await self._in_flight.renew_these((await self._open()).commands, [held])
        return not held.lost

    def _is_stale(self, held: Held) -> bool:
        """Whether the lease may be over, or a person may have taken the event, as far as we can know."""
        is_old = clock.now() >= held.leased_at + self._half_lease_seconds
        return is_old or held.leased_at < max(clock.doubted_at(), self._in_flight.let_go_at)

    def _postponed(self, held: Held, delay: float) -> None:
        """Look for an event when it is due, also while a read waits for others."""
        self._reclaims.note_postponed(held, delay)
        self._blocking_reads.wake()
        self._waits.wake()

    # What the task does -----------------------------------------------------------------------

    @override
    async def _turn(self, connections: Connections) -> None:
        redis, in_flight = connections.commands, self._in_flight
        if self._blocking_reads.overdue:
            self._unconfirmed.leave(Doubt.COUNTED)
        if self._unconfirmed.doubt is not Doubt.NOTHING:
            await self._end_blocking_reads()
            here = self._away.here(self._discovery.joined)
            await in_flight.give_back_unconfirmed(redis, here, self._unconfirmed)
            self._unconfirmed.settled(away=self._away.streams)
            self._reclaims.begin_anew()
        # In every turn: what has arrived is leased, and its lease must be renewed even if no caller waits.
        with self._unconfirmed.reading(Doubt.COUNTED):
            news = self._blocking_reads.collect()
        self._waits.collect()
        await self._accept_news(redis, news)
        if clock.now() >= self._tick_at:
            await self._tick(redis)
        if clock.now() >= self._renew_at:
            await self._renew_held(redis)
        if self._draining and self._buffer:
            await self._give_back(redis, list(self._buffer))
        if not self._wants_more() or not self._discovery.ready:
            await self._pause(self._seconds_left())
        elif not await self._take_abandoned(redis):
            await self._take_new(connections, self._seconds_left(self._reclaims.due_at))

    def _wants_more(self) -> bool:
        """Whether to lease another batch: a caller waits for it, or soon will."""
        wanted = self._waiting or self._prefetch.ahead > 1
        return wanted and not self._draining and self._prefetch.has_room(len(self._buffer))

    async def _tick(self, redis: Redis) -> None:
        """Discover and maintain streams; release entries of paused ones, and unused prefetched ones."""
        known = set(self._discovery.ready)
        await self._discovery.tick(redis)
        if self._discovery.ready.keys() - known:
            self._reclaims.begin_anew()  # a reclaim also records how long our leases are, before a read
        if held := self._in_flight.buffered_in(self._discovery.paused):
            await self._give_back(redis, held)
        if self._buffer and not self._waiting and self._prefetch.is_slow(self._in_flight.delivered_at):
            await self._give_back(redis, list(self._buffer))
            self._reclaims.begin_anew()
        await self._mixed_kinds.look_for_ordered(redis, self._discovery.ready)
        await self._maintain(redis, list(self._discovery.ready), reading=self._wants_more())

    async def _give_back(self, redis: Redis, held: list[Held]) -> None:
        """Release prefetched entries."""
        self._reclaims.expect([one.entry.stream for one in held])
        with self._unconfirmed.giving_back(held):
            await self._in_flight.give_back_buffered(redis, held)

    async def _take_new(self, connections: Connections, seconds: float) -> None:
        self._scheduler.follow(self._discovery.ready)
        most = self._prefetch.batch
        if self._scheduler.is_quiet and not self._counts_fetch:
            await self._wait(connections, seconds)
            await self._take_more(connections.commands, most)
        elif self._scheduler.is_quiet:
            streams = list(self._discovery.ready)

            async def read(some: Sequence[str]) -> list[lease.Leased]:
                count = self._waited_for()
                leased = await lease.take_new(
                    *(connections.blocking, self.group, self.name, some),
                    count=count,
                    block_ms=math.ceil(seconds * 1000),
                )
                self._scheduler.note_news(leased, count)
                return leased

            with self._unconfirmed.reading(Doubt.COUNTED):
                news = await self._blocking_reads.wait(
                    *(connections.blocking, streams, read),
                    seconds=seconds,
                    may_wake=self._may_wake,
                )
            await self._accept_news(connections.commands, news)
        else:
            await self._take_more(connections.commands, most)

    def _waited_for(self) -> int:
        """How many entries of each stream a blocking read takes.

        They count as delivered, which is right of one if a caller takes it at once. Who is fast takes two:
        where there is one alone, the stream is empty, and need not be polled before the next read waits.
        """
        few = 2 * len(self._discovery.ready) <= MOST_AHEAD
        return 2 if few and self._prefetch.ahead > 1 else 1

    async def _wait(self, connections: Connections, seconds: float) -> None:
        """Wait until a stream has entries that the group was not given, and lease none."""
        redis, after = (
            connections.blocking,
            {name: self._positions.get(name, "0") for name in self._discovery.ready},
        )

        async def wait(some: Sequence[str]) -> list[str]:
            return await owners.wait(redis, {name: after[name] for name in some}, seconds=seconds)

        news = await self._waits.wait(redis, list(after), wait, seconds=seconds, may_wake=self._may_wake)
        self._scheduler.note_more(news)

    @property
    def _may_wake(self) -> bool:
        """Whether there is or may soon be something postponed; a server ends its waits up to 0.1 s late."""
        return self._in_flight.may_postpone or self._reclaims.may_be_due

    async def _accept_news(self, redis: Redis, news: list[lease.Leased]) -> None:
        """Take in the results of blocking reads; events that no handler begins at once do not count yet."""
        if news:
            await self._uncount(redis, self._accept(news))

    async def _uncount(self, redis: Redis, accepted: list[Held]) -> None:
        for _ in accepted[:_MOST_TURNS]:  # each of a worker's tasks takes one in a turn of its own
            await anyio.lowlevel.checkpoint()
            if all(held.handed_at is not None for held in accepted):
                return
        if waiting := [held for held in accepted if held.handed_at is None]:
            await renewal.uncount(redis, self.group, self.name, [held.key for held in waiting])
            for held in waiting:
                if held.handed_at is not None:
                    self._in_flight.count_anew(held)

    async def _take_more(self, redis: Redis, most: int) -> None:
        """Prefetch; a single event is for the waiting caller, so it counts as delivered at once."""
        self._ack_batcher.reading.set()
        begun = most == 1 and self._waiting and self._counts_fetch
        with self._unconfirmed.reading(Doubt.COUNTED if begun else Doubt.UNCOUNTED):
            taken = await lease.take_more(
                *(redis, self.group, self.name, self._scheduler.plan(most)),
                most=most,
                begun=begun,
                positions=not self._counts_fetch,
            )
        self._positions |= taken.positions
        accepted = self._accept(taken.leased)
        self._note(taken)
        if begun:
            await self._uncount(redis, accepted)

    async def _take_abandoned(self, redis: Redis) -> bool:
        """Reclaim entries that nobody holds or that are due, more at a time the faster they are handled.

        One of them may have killed its process. So a process begins with one.
        """
        prefetch = self._prefetch
        beside_read = self._blocking_reads.are_under_way or self._unconfirmed.may_be_counted
        with self._unconfirmed.reading(Doubt.UNCOUNTED):
            leased = await self._reclaims.take(
                *(redis, self._discovery.ready),
                batch=prefetch.batch,
                ahead=prefetch.ahead,
                beside_read=beside_read,
            )
        return bool(self._accept(leased) or leased)

    @override
    def _accept(self, leased: list[lease.Leased]) -> list[Held]:
        accepted = super()._accept(leased)
        if leased:
            self._prefetch.note_batch(self._in_flight.delivered, self._in_flight.largest_bytes)
        return accepted

    @override
    def _leave_out(self, streams: Sequence[str]) -> None:
        super()._leave_out(streams)
        self._in_flight.set_aside(streams)
        self._waits.give_up(streams)
        if self._blocking_reads.are_under_way:  # they are ended, so that none fails later
            self._unconfirmed.leave(Doubt.COUNTED)

    @override
    def _take_back(self, streams: Sequence[str]) -> None:
        super()._take_back(streams)
        self._in_flight.take_back(streams)
        self._unconfirmed.take_back()
        self._reclaims.begin_anew()
        self._arrived.set()

    # The end ----------------------------------------------------------------------------------

    @override
    async def _end_reads(self) -> None:
        await self._end_blocking_reads()
        await self._waits.end()

    async def _end_blocking_reads(self) -> None:
        if self._blocking_reads.are_under_way:  # what they have leased is dropped with their answers
            self._unconfirmed.leave(Doubt.COUNTED)
        await self._blocking_reads.end()

    @override
    async def _let_go(self, redis: Redis) -> None:
        await self._in_flight.give_back(redis, self._away.here(self._discovery.joined), self._unconfirmed)

"""One consumer of a group: its interface for callers, and the loop that reads for them.

One task reads: it discovers streams, renews leases and reads new events in turn, so that no two steps race.
The caller of `next` takes from the buffer. A second task acks what is finished, since a read may take long.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import anyio
from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.consuming import settled_log
from abe_redis.consuming.ack_batcher import AckBatcher
from abe_redis.consuming.away import Away
from abe_redis.consuming.discovery import Discovery, say_all_lost
from abe_redis.consuming.held import Buffer, Held
from abe_redis.consuming.in_flight import InFlight
from abe_redis.consuming.lifecycle import CLOSE_SECONDS, Lifecycle
from abe_redis.consuming.maintenance import Maintenance
from abe_redis.consuming.mixed_kinds import MixedKinds
from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.consuming.presence import Presence
from abe_redis.consuming.scheduler import Scheduler
from abe_redis.consuming.troubles import Troubles
from abe_redis.errors import LeaseLostError
from abe_redis.events.event import Event
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams.lease import Leased, Taken
from abe_redis.streams.patterns import Patterns

TICK_SECONDS = 0.8
"""Interval of discovery: a stream that we publish to is found within a second."""


class GroupConsumer(ABC):
    """The consumer behind an `EventStream` or an `EventWorker`."""

    _nacks_later = True
    """Whether a failed release is tried again later; else the event is delivered again here."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        settings: Settings,
        patterns: Patterns,
        *,
        group: str,
        name: str,
        buffer: Buffer,
    ) -> None:
        self.group = group
        self.name = name
        self.on_closed: Callable[[GroupConsumer], None] = lambda _: None
        self.on_connected: Callable[[], None] = lambda: None
        self._open = connections
        self._settings = settings
        self._in_flight = InFlight(settings, group, name, self, buffer, on_group_gone=self._group_is_gone)
        self._away = Away(group, lambda: self._discovery.joined, self._leave_out, self._take_back)
        self._in_flight.away = self._away.streams
        self._ack_batcher = AckBatcher(connections, settings, self._in_flight, group)
        self._tolerance = tolerance = Tolerance(settings, group)
        self._discovery = Discovery(patterns, group, tolerance, consumer=name, topic=settings.added_topic)
        self._maintenance = Maintenance(settings, group, tolerance, self._away.streams, name)
        self._mixed_kinds = MixedKinds(settings, tolerance, group, name)
        self._presence = Presence(settings, tolerance, group, name)
        self._scheduler = Scheduler()
        self._tick_at = self._renew_at = 0.0
        self._connected = False  # whether Redis has answered
        self._troubles = Troubles(settings, group, self._away.streams)
        self._waiting = False  # whether a caller waits for an event
        self._asking: anyio.CancelScope | None = None  # in which Redis is asked about a prefetched event
        self._draining = False  # true while handlers run but no more events are fetched
        self._wanted, self._arrived = asyncio.Event(), asyncio.Event()
        self._handler_ended = asyncio.Event()
        self._life = Lifecycle(
            *(group, name),
            lease_seconds=settings.redis_stream_lease_seconds,
            wake=self._arrived.set,
            end_handlers=self._end_handlers,
            end_reads=self._end_reads,
            let_go=self._leave,
            may_hold=lambda: self._connected,
            on_closed=lambda: self.on_closed(self),
        )

    # What a caller does -----------------------------------------------------------------------

    def allow(self, deliveries: int) -> None:
        """Bury an event after this many deliveries, instead of `REDIS_STREAM_MAX_DELIVERIES`."""
        self._in_flight.most_deliveries = deliveries

    async def next(self) -> Event:
        """Finish the events in flight and wait for the next one; StopAsyncIteration when closed."""
        self._life.check_loop()
        for held in list(self._in_flight.delivered_events.values()):
            self.finish(held)
        taken = self.get_nowait() or await self.take()
        if taken is None:
            raise StopAsyncIteration
        return taken.event

    async def take(self) -> Held | None:
        """Wait for an event without finishing the others; None when closed."""
        if self._waiting:
            raise RuntimeError("Two tasks ask the same consume() for an event; give each its own.")
        self._life.check_loop()
        tasks = {self.name: self._run, f"acks of {self.name}": self._ack_batcher.run}
        self._life.start(tasks | {f"leftovers of {self.name}": self._ack_batcher.run_leftovers})
        self._waiting = True
        try:
            while not self._closed and not self._draining:
                if self._life.error is not None:
                    raise self._life.error
                self._arrived.clear()
                held = self.get_nowait()
                if held is None and self._in_flight.buffer:
                    with anyio.CancelScope() as self._asking:
                        held = await self._take_from_buffer()
                if held is not None:
                    return held
                self._wanted.set()
                await self._arrived.wait()
        finally:
            self._waiting = False
        return None

    @abstractmethod
    def get_nowait(self) -> Held | None:
        """A prefetched event; None if there is none, or if Redis has to confirm its lease first."""

    def _deliver(self, held: Held) -> bool:
        """Deliver an entry from the buffer; False if it holds no event and is buried."""
        given = self._in_flight.deliver(held)
        self._ack_batcher.finished.set()
        return given

    @abstractmethod
    async def _take_from_buffer(self) -> Held | None:
        """The same, after asking Redis; None if no event in the buffer may be delivered."""

    def finish(self, held: Held) -> None:
        """Finish an event; it is acked soon, or when Redis is back."""
        self._in_flight.finish(held)
        self._ack_batcher.finished.set()

    def ended(self, held: Held) -> None:
        """Note that the handler of an event has ended, with any result."""
        if self._in_flight.ended(held):
            self._arrived.set()
        self._handler_ended.set()

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None:
        """Nack an event: it is delivered again after a delay in seconds."""
        held = self._in_hand(event)
        held.is_spared, held.reason = not counted, reason or ""
        if counted and reason:
            self._in_flight.note_last_words(held, reason)
        with failures.explained(self._settings, doing=f"giving back {event.id} of {event.stream!r}"):
            redis = (await self._open()).commands
            with self._waking_ack_batcher():
                ours = await self._in_flight.nack(redis, held, delay_seconds=delay, later=self._nacks_later)
        if not ours:
            raise LeaseLostError
        settled_log.given_back(event, reason, is_said=bool(held.detail))

    async def bury(self, event: Event, *, reason: str) -> None:
        """Move an event to the dead letters."""
        held = self._in_hand(event)
        with failures.explained(self._settings, doing=f"burying {event.id} of {event.stream!r}"):
            redis = (await self._open()).commands
            with self._waking_ack_batcher():
                ours = await self._in_flight.bury_delivered(redis, held, reason)
        if not ours:
            raise LeaseLostError
        settled_log.buried(event, reason, is_said=bool(held.detail))

    @contextmanager
    def _waking_ack_batcher(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._ack_batcher.finished.set()  # the ack batcher does it later, if this failed

    def _in_hand(self, event: Event) -> Held:
        self._life.check_process()
        self._life.check_loop()
        held = self._in_flight.delivered_events.get((event.stream, event.id))
        if held is None or held.lost:
            raise LeaseLostError
        return held

    def stop_fetching(self) -> None:
        """Stop fetching, and release prefetched events soon; delivered ones stay."""
        self._draining = True
        if self._asking is not None:
            self._asking.cancel()  # Redis may not answer
        self._wanted.set()
        self._arrived.set()

    async def close(self) -> None:
        """Ack finished events, release the others, and end; at once and for all callers."""
        await self._life.close()

    def abandon(self) -> None:
        """Close soon, because no caller is left; callable from any thread."""
        self._life.abandon()

    @property
    def _closed(self) -> bool:
        return self._life.closed

    # What the reading task does ---------------------------------------------------------------

    async def _run(self) -> None:
        """Run the loop until closed. After a temporary failure, wait and go on."""
        while not self._closed:
            try:
                connections = await self._open()
                if self._troubles.failed:
                    await connections.revive()
                await connections.check()
                if not self._connected:
                    self._connected = True
                    self.on_connected()
                self._away.look(connections.commands)
                await self._turn(connections)
                self._troubles.over()
            except failures.FAILURES as error:
                self._turn_failed(error)
                is_told = await self._away.find_out((await self._open()).commands)
                await anyio.sleep(self._troubles.note(error, is_told=is_told))

    @abstractmethod
    async def _turn(self, connections: Connections) -> None:
        """Do what is due, then read or wait, for a tick at most.

        Raises:
            redis.RedisError: The server refused something or could not be reached.
        """

    def _turn_failed(self, error: BaseException) -> None:
        """Learn from a failed turn which streams to check."""
        if failures.stream_is_gone(error):
            self._recheck()

    def _leave_out(self, streams: Sequence[str]) -> None:
        """Let nothing of these streams, whose node is away, hold up the others."""
        self._discovery.leave_out(streams)

    def _take_back(self, streams: Sequence[str]) -> None:  # noqa: ARG002 - all are looked at
        """Go on with these streams: look for their groups, and whose the events are by now."""
        self._tick_at = self._renew_at = 0.0
        self._ack_batcher.finished.set()

    def _recheck(self) -> None:
        """Check every stream again: one of them was deleted or replaced."""
        self._discovery.recheck()
        self._tick_at = self._renew_at = 0.0

    def _group_is_gone(self) -> None:
        """Make the group again, and take back our entries."""
        self._recheck()
        self._wanted.set()

    async def _maintain(self, redis: Redis, streams: Sequence[str], *, reading: bool) -> None:
        """Maintain these streams, at the end of a tick; `reading`: whether new events are read from them."""
        active, self._in_flight.active = self._in_flight.active, set()
        held = {stream for stream, _ in self._in_flight.delivered_events} | self._in_flight.streams
        unread = self._away.here((*self._discovery.paused, *(() if reading else streams)))
        await self._maintenance.tick(redis, self._away.here(streams), active, held, unread)
        self._discovery.look_at(self._maintenance.without_group)
        await self._in_flight.let_go_of_given_up(redis, self._maintenance.given_up)
        joined = self._away.here((*self._discovery.ready, *self._discovery.paused))
        await self._presence.tick(redis, joined, busy=self._in_flight.streams, new=self._discovery.made)
        self._discovery.made.clear()
        self._tick_at = clock.now() + TICK_SECONDS

    async def _renew_held(self, redis: Redis) -> None:
        """Renew our leases now, and again after a third of a lease."""
        self._renew_at = clock.now() + self._settings.redis_stream_lease_seconds / 3
        try:
            await self._in_flight.renew(redis)
        except BaseException:
            self._renew_at = 0.0
            raise

    def _seconds_left(self, due_at: float = float("inf")) -> float:
        """Time until a tick, a renewal or something else is due."""
        return max(0.001, min(self._tick_at, self._renew_at, due_at) - clock.now())

    def _note(self, taken: Taken) -> None:
        """Note what a read reported besides the entries that it leased."""
        self._scheduler.note(taken.looked_at, taken.leased, taken.more)
        say_all_lost(taken.lost, self.group)
        if taken.failure is not None:
            self._recheck()

    def _accept(self, leased: list[Leased]) -> list[Held]:
        """Take in leased entries; as `InFlight.accept`."""
        if not leased:
            return []
        accepted = self._in_flight.accept(leased)
        if self._in_flight.buffer:
            self._arrived.set()
        if self._in_flight.has_finished:
            self._ack_batcher.finished.set()
        return accepted

    async def _pause(self, seconds: float) -> None:
        """Wait until an event is wanted, or for a time."""
        self._wanted.clear()
        with anyio.move_on_after(seconds):
            await self._wanted.wait()

    # The end ----------------------------------------------------------------------------------

    async def _leave(self) -> None:
        redis = (await self._open()).commands
        await self._let_go(redis)
        here = self._away.here(self._discovery.joined)
        await self._maintenance.end(redis, here, self._in_flight.active)
        if self._in_flight.may_take_all:
            await self._presence.end(redis, here)

    @abstractmethod
    async def _end_reads(self) -> None:
        """End the background reads."""

    async def _end_handlers(self) -> None:
        """Cancel the handlers and wait until they end, because a released event is handled again."""
        for held in self._in_flight.at_work:
            if held.on_lost is not None:
                held.on_lost()
        with anyio.move_on_after(CLOSE_SECONDS / 2):
            while not all(held.is_left for held in self._in_flight.at_work):
                await self._handler_ended.wait()
                self._handler_ended = asyncio.Event()

    @abstractmethod
    async def _let_go(self, redis: Redis) -> None:
        """Ack finished events, and release the others."""

"""A consumer that keeps the order of each conversation, with the other ordered ones of its group.

It reads only streams that it owns, so it gets their entries in the order of the stream. When it becomes the
owner of a stream, it first takes over the unfinished entries of the previous owner.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import override

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.consuming.blocking_reads import BlockingReads
from abe_redis.consuming.group_consumer import GroupConsumer
from abe_redis.consuming.held import Held
from abe_redis.consuming.ordered.conversation_queues import ConversationQueues
from abe_redis.consuming.ordered.owned_stream import State
from abe_redis.consuming.ordered.ownership import Ownership
from abe_redis.consuming.ordered.takeover import Takeover
from abe_redis.consuming.ordered.timer import Timer
from abe_redis.consuming.unconfirmed import Unconfirmed
from abe_redis.errors import LeaseLostError
from abe_redis.events.event import Event
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import lease, owners
from abe_redis.streams.patterns import Patterns

AHEAD = 128
"""Number of prefetched events that could be handled at the same time."""
MOST_WAITING = 1000
MOST_WAITING_BYTES = 4 * 1024 * 1024
"""A stream in which more waits is not read. What waits behind a delayed conversation counts, too."""

_AGAIN_SECONDS = 1.0
"""Pause before a retry of a failed command."""


class OrderedConsumer(GroupConsumer):
    """A `GroupConsumer` that handles each conversation in order."""

    _nacks_later = False

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        settings: Settings,
        patterns: Patterns,
        *,
        group: str,
        name: str,
    ) -> None:
        self._queues = ConversationQueues()
        super().__init__(connections, settings, patterns, group=group, name=name, buffer=self._queues)
        lease_seconds = settings.redis_stream_lease_seconds
        self._ownership = Ownership(
            *(group, name, patterns, self._away.streams), lease_seconds=lease_seconds, on_lost=self._lost
        )
        self._takeover = Takeover(self._ownership, self._queues, self._in_flight, self._accept)
        self._in_flight.on_buried = self._buried
        self._in_flight.buries_in_turn = True
        self._blocking_reads = BlockingReads[str](leases=False)
        self._timer = Timer(self._on_alarm)

    # What a caller does -----------------------------------------------------------------------

    @override
    async def next(self) -> Event:
        for held in self._queues.at_work:
            if held.key in self._in_flight.delivered_events:
                self.finish(held)
            self.ended(held)
        return await super().next()

    @override
    def get_nowait(self) -> Held | None:
        while (held := self._next()) is not None and not held.entry.again:
            self._queues.take(held)
            if self._deliver(held):
                self._nudge()
                return held
            self._queues.ended(held)
        return None

    @override
    async def _take_from_buffer(self) -> Held | None:
        while (held := self._next()) is not None:
            self._queues.take(held)
            if self._in_flight.condemn(held):  # those behind it wait until it is buried
                self._ack_batcher.finished.set()
                continue
            if (not held.entry.again or await self._counted(held)) and self._deliver(held):
                self._nudge()
                return held
            self._queues.ended(held)
        return None

    def _next(self) -> Held | None:
        """The next event that may be delivered, if its stream is certainly ours."""
        if self._closed or self._draining:
            return None
        now = clock.now()
        held = self._queues.next(now)
        if held is None or self._ownership.has(held.entry.stream, now):
            return held
        self._renew_at = 0.0  # Redis knows whether it is still ours
        self._wanted.set()
        return None

    async def _counted(self, held: Held) -> bool:
        """Count another delivery, at Redis first: it may kill this process."""
        try:
            with self._in_flight.starting(held):
                await self._ack_batcher.send()
                redis, owner = (await self._open()).commands, self._ownership.owner
                state = await owners.start(redis, owner, held.entry, sure=self._in_flight.sure_of(held))
        except BaseException as error:
            if not held.lost:
                self._requeue(held.entry, _AGAIN_SECONDS)
            self._queues.ended(held)
            if isinstance(error, failures.FAILURES):
                return False
            raise
        if state == "disowned":
            self._ownership.lose(held.entry.stream)
        elif state == "no_group":
            self._requeue(held.entry, _AGAIN_SECONDS)
            self._group_is_gone()
        elif state == "gone":  # those behind it wait, since a person may have released it: see `load_lost`
            self._requeue(held.entry, _AGAIN_SECONDS)
            self._renew_at = 0.0
            self._wanted.set()
        if state != "started" or held.lost or self._closed:
            return False
        if self._ownership.has(held.entry.stream, clock.now()):
            return True
        self._requeue(held.entry, 0)  # the process froze while it waited for the answer
        return False

    @override
    def ended(self, held: Held) -> None:
        unfinished = self._in_flight.delivered_events.get(held.key) is held
        super().ended(held)
        if held.is_left:
            return  # it keeps its stream, too
        if held.lost and unfinished and self._ownership.has(held.entry.stream, clock.now()):
            self._deliver_again(held, 0)  # it was handled for too long; the events behind it still wait
        if not self._in_flight.is_condemned(held):  # its burial comes before the delivery of those behind it
            self._buried(held)

    def _buried(self, held: Held) -> None:
        """Release the events behind it for delivery, or itself, when it is due again."""
        self._queues.ended(held)
        if not self._closed and (at := self._queues.next_at()) is not None:
            self._timer.bring_forward(at)
        self._nudge()
        self._arrived.set()

    @override
    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None:
        held = self._in_hand(event)
        try:
            await super().nack(event, delay=delay, reason=reason, counted=counted)
        except BaseException as error:
            if not isinstance(error, LeaseLostError):
                self._deliver_again(held, delay)
            raise
        self._deliver_again(held, delay)

    @override
    async def bury(self, event: Event, *, reason: str) -> None:
        held = self._in_hand(event)
        try:
            await super().bury(event, reason=reason)
        except BaseException as error:
            if not (isinstance(error, LeaseLostError) or self._in_flight.is_condemned(held)):
                self._deliver_again(held, _AGAIN_SECONDS)
            raise

    def _deliver_again(self, held: Held, delay: float) -> None:
        if held.entry.stream in self._ownership.streams and not held.is_given_up:
            self._requeue(held.entry._replace(deliveries=held.begun + 1, again=True), delay)
        else:
            held.is_let_go = True  # it may be settled, and finished by others
            self._in_flight.part_with(held)
            self._ack_batcher.finished.set()

    def _requeue(self, entry: lease.Leased, delay: float) -> None:
        for held in self._accept([entry]):
            self._queues.postpone(held, clock.now() + delay)
        self._set_alarm()

    @override
    def stop_fetching(self) -> None:
        self._ownership.revoke_all()
        super().stop_fetching()

    # What the task does -----------------------------------------------------------------------

    @override
    async def _turn(self, connections: Connections) -> None:
        redis = connections.commands
        self._blocking_reads.collect()
        if clock.now() >= self._tick_at:  # first, since it makes a removed group again
            await self._tick(redis)
        if clock.now() >= self._renew_at:
            await self._renew(redis)
        await self._in_flight.say_parted(redis)  # a dropped entry comes before those that follow it
        await self._release_revoked(redis)  # last: nothing of these streams is in doubt now
        await self._takeover.load_claimed(redis, until=min(self._tick_at, self._renew_at))
        self._set_alarm()
        seconds = self._seconds_left()
        readable = self._readable()
        self._scheduler.follow(readable)
        if not readable or not self._wants_more():
            await self._pause(seconds)
            return
        self._ack_batcher.reading.set()
        if self._scheduler.is_quiet:
            await self._wait(connections, readable, seconds)
        else:
            await self._read(redis)

    async def _renew(self, redis: Redis) -> None:
        """Renew our streams and leases, and take over the entries that others left in our streams."""
        await self._ownership.renew(redis)
        await self._renew_held(redis)
        await self._takeover.load_lost(redis, until=self._renew_at)
        await self._takeover.load_abandoned(redis, until=self._renew_at)
        self._arrived.set()

    async def _tick(self, redis: Redis) -> None:
        """Discover streams, rebalance them, and maintain our own."""
        await self._discovery.tick(redis)
        if self._draining:
            await self._ownership.quit(redis)
            self._ownership.revoke_all()
        else:
            self._ownership.keep_slow()
            ready = list(self._discovery.ready)
            await self._ownership.rebalance(redis, ready, [name for name in ready if self._is_busy(name)])
        await self._mixed_kinds.look_for_unordered(redis, self._ownership.known)
        await self._maintain(redis, list(self._ownership.streams), reading=self._wants_more())
        released = self._maintenance.given_up
        await self._takeover.load_released(redis, released, until=self._renew_at)
        if self._queues.remove_lost() or released:
            self._arrived.set()

    def _is_busy(self, stream: str) -> bool:
        """Whether an event of a stream is being handled, or is not settled yet."""
        return self._queues.is_at_work(stream) or self._in_flight.is_settling(stream)

    async def _release_revoked(self, redis: Redis) -> None:
        """Release the revoked streams whose events are all settled."""
        for stream in self._ownership.here(State.CLAIMED, State.READY):
            self._queues.resume(stream)
        for stream in self._ownership.here(State.REVOKING):
            self._queues.stop(stream)
            if not self._is_busy(stream):
                await self._in_flight.give_back_buffered(redis, self._queues.waiting_in(stream))
                await self._ownership.release_streams(redis, [stream])

    def _readable(self) -> dict[str, str]:
        """The streams to read, each with its last id that we have."""
        return {
            stream: owned.last
            for stream, owned in self._ownership.here(State.READY).items()
            if self._queues.count(stream) < MOST_WAITING and self._queues.bytes(stream) < MOST_WAITING_BYTES
        }

    def _wants_more(self) -> bool:
        return not self._draining and self._queues.at_once <= AHEAD // 2

    def _nudge(self) -> None:
        """Wake the task, if it has something to do."""
        if self._wants_more() or self._ownership.in_state(State.REVOKING):
            self._wanted.set()

    async def _wait(self, connections: Connections, after: dict[str, str], seconds: float) -> None:
        """Wait until a stream of ours has new entries, and poll a few in any case."""
        redis = connections.blocking

        async def wait(some: Sequence[str]) -> list[str]:
            return await owners.wait(redis, {name: after[name] for name in some}, seconds=seconds)

        self._scheduler.note_more(await self._blocking_reads.wait(redis, list(after), wait, seconds=seconds))
        await self._read(connections.commands)

    async def _read(self, redis: Redis) -> None:
        streams, most = self._ownership.streams, AHEAD - self._queues.at_once
        portions = [
            lease.Portion(stream, min(count, MOST_WAITING - self._queues.count(stream)), streams[stream].last)
            for stream, count, _ in self._scheduler.plan(most)
            if stream in streams
        ]
        found = await owners.take_owned(redis, self._ownership.owner, portions, most=most)
        ours = [entry for entry in found.taken.leased if entry.stream in streams]  # unless lost meanwhile
        for entry in ours:
            streams[entry.stream].last = entry.id
        self._note(found.taken)
        self._accept(ours)
        for stream in found.behind & streams.keys():
            streams[stream].fell_behind()
            self._mixed_kinds.suspect(stream)
        for stream in found.disowned:
            self._ownership.lose(stream)

    # What happens by the clock ----------------------------------------------------------------

    def _set_alarm(self) -> None:
        """Wake up when an event may be delivered again, or a stream may no longer be ours."""
        self._timer.set(min(filter(None, (self._queues.next_at(), self._ownership.ends_at())), default=None))

    def _on_alarm(self) -> None:
        now = clock.now()
        self._ownership.expire(now)
        self._queues.next(now)  # an event that is due no longer waits
        self._arrived.set()
        self._set_alarm()

    def _lost(self, stream: str) -> None:
        """Stop the handlers of a stream that another consumer may own by now."""
        for held in (*self._queues.drop(stream), *self._queues.at_work):
            if held.entry.stream == stream:
                self._in_flight.lose(held)
        self._ack_batcher.finished.set()

    @override
    def _leave_out(self, streams: Sequence[str]) -> None:
        super()._leave_out(streams)
        self._blocking_reads.give_up(streams)
        for stream in streams:
            self._queues.stop(stream)

    @override
    async def _end_reads(self) -> None:
        self._timer.set(None)
        await self._blocking_reads.end()

    @override
    async def _let_go(self, redis: Redis) -> None:
        at_work = {held.key[0] for held in self._in_flight.at_work}  # what is still handled keeps its stream
        streams = [one for one in self._away.here(self._ownership.streams) if one not in at_work]
        await self._ownership.quit(redis)
        joined = dict.fromkeys((*streams, *self._discovery.joined))  # also those of other owners
        leaving = [stream for stream in self._away.here(joined) if stream not in at_work]
        await self._in_flight.give_back(redis, leaving, Unconfirmed())
        await self._ownership.release_streams(redis, streams)

"""From streams to a flow of events.

One task per consumer takes: it finds new streams, renews what is held, takes what others left and
reads what is new, all in turn, so that no two of its steps can race. The caller of `next` only takes
from the buffer that the task fills. A second task, the settler's, acks what the caller has finished,
since a read may take long.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

import anyio
from redis.asyncio import Redis

from abe_redis import faults, tasks
from abe_redis.caretaker import Caretaker
from abe_redis.connection import Connections
from abe_redis.discovery import Discovery, say_lost
from abe_redis.envelope import Event
from abe_redis.errors import AbeRedisError, LeaseLostError
from abe_redis.holdings import Held, Holdings
from abe_redis.pace import Pace
from abe_redis.readers import Readers
from abe_redis.rota import Rota
from abe_redis.settings import Settings
from abe_redis.settler import Settler
from abe_redis.streams import lease, names

_LOG = logging.getLogger(__name__)

TICK_SECONDS = 0.8
"""A stream that we publish to is found within a second: a tick, and the read that follows it."""

CLOSE_SECONDS = 2.0
"""How long closing may take to ack and give back; what is not given back waits for its lease."""


class Consumer:
    """One member of a group: what runs behind an `EventStream`."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        settings: Settings,
        patterns: names.Patterns,
        *,
        group: str,
        name: str,
    ) -> None:
        self.group = group
        self.name = name
        self.on_closed: Callable[[Consumer], None] = lambda _: None
        self._open = connections
        self._settings = settings
        self._discovery = Discovery(patterns, group)
        self._holdings = Holdings(settings, group, name, self)
        self._settler = Settler(connections, settings, self._holdings, group)
        self._caretaker = Caretaker(settings, group)
        self._pace = Pace()
        self._rota = Rota()
        self._readers = Readers(group, name)
        self._unseen = False
        """Whether a read failed whose answer may have leased us something."""
        self._left: dict[str, None] = {}
        """Streams that are looked at anew, in which it may have been so."""
        self._waiting = False
        """Whether a caller waits for an event."""
        self._leaving = False
        """Whether nothing more is wanted, though handlers are still at work."""
        self._wanted = asyncio.Event()
        self._arrived = asyncio.Event()
        self._tick_at = self._renew_at = self._abandoned_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._error: AbeRedisError | None = None

    # What the caller does ---------------------------------------------------------------------

    async def next(self) -> Event:
        """Finish the events in hand and wait for the next; StopAsyncIteration when closed."""
        holdings = self._holdings
        if holdings.in_hand:
            holdings.finish_all()
            self._settler.finished.set()
        held = self.take_now() or await self.take()
        if held is None:
            raise StopAsyncIteration
        return held.event

    async def take(self) -> Held | None:
        """Wait for an event beside those in hand; None when closed."""
        if self._waiting:
            raise RuntimeError("Two tasks ask the same consume() for an event; give each its own.")
        self._start()
        if (held := self.take_now()) is not None:
            return held
        self._waiting = True
        try:
            while not self._closed and not self._leaving:
                if self._error is not None:
                    raise self._error
                if self._holdings.buffer:
                    if (held := await self._take_from_buffer()) is not None:
                        return held
                    continue
                self._arrived.clear()
                self._wanted.set()
                await self._arrived.wait()
        finally:
            self._waiting = False
        return None

    def take_now(self) -> Held | None:
        """An event that was leased ahead; None when there is none, or Redis must be asked about it."""
        if self._closed or self._leaving:
            return None
        held = self._holdings.take_fresh()
        if self._pace.has_room(len(self._holdings.buffer)):
            self._wanted.set()
        return held

    async def _take_from_buffer(self) -> Held | None:
        buffer = self._holdings.buffer
        held = buffer[0]
        fresh = await self._holdings.is_fresh((await self._open()).commands, held)
        if self._closed or not buffer or buffer[0] is not held:  # closing gives it back
            return None
        buffer.popleft()
        return held if fresh and self._holdings.hand_out(held, time.monotonic()) else None

    def finish(self, held: Held) -> None:
        """Let an event in hand count as done; it is acked soon, or once Redis is back."""
        self._holdings.finish(held)
        self._settler.finished.set()

    async def nack(self, event: Event, *, delay: float, reason: str | None) -> None:
        """Give an event in hand back, to be delivered again after a delay in seconds."""
        held = self._in_hand(event)
        with faults.explained(self._settings, doing=f"giving back {event.id} of {event.stream!r}"):
            ours = await self._holdings.nack((await self._open()).commands, held, delay_seconds=delay)
        _LOG.info("Gave back event %s of %r: %s", event.id, event.stream, reason or "no reason given")
        self._abandoned_at = min(self._abandoned_at, time.monotonic() + delay)
        if not ours:
            raise LeaseLostError

    async def bury(self, event: Event, *, reason: str) -> None:
        """Move an event in hand to the dead letters."""
        held = self._in_hand(event)
        with faults.explained(self._settings, doing=f"burying {event.id} of {event.stream!r}"):
            ours = await self._holdings.bury_in_hand((await self._open()).commands, held, reason)
        _LOG.warning("Buried event %s of %r: %s", event.id, event.stream, reason)
        if not ours:
            raise LeaseLostError

    def _in_hand(self, event: Event) -> Held:
        held = self._holdings.in_hand.get((event.stream, event.id))
        if held is None or held.lost:
            raise LeaseLostError
        return held

    def leave_off(self) -> None:
        """Lease nothing more, and give back soon what is leased ahead; what is in hand stays."""
        self._leaving = True
        self._wanted.set()
        self._arrived.set()

    async def close(self) -> None:
        """Ack what is finished, give back the rest, and end; at once and for all callers."""
        self._close_soon()
        if self._closing is not None:
            await asyncio.shield(self._closing)

    def abandon(self) -> None:
        """Close soon, when nobody is left to ask for events; callable from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and self._closing is None:
            loop.call_soon_threadsafe(self._close_soon)

    # What the task does -----------------------------------------------------------------------

    def _start(self) -> None:
        if self._task is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._until_it_fails(self._run()), name=f"abe-redis {self.name}")
            self._settling = asyncio.create_task(
                self._until_it_fails(self._settler.run()), name=f"abe-redis acks of {self.name}"
            )

    async def _run(self) -> None:
        """Take turns until closed; a failure that passes is a pause."""
        failures, warned = 0, False
        while not self._closed:
            try:
                connections = await self._open()
                if failures:
                    await connections.revive()
                await self._turn(connections)
                if warned:
                    _LOG.warning("Group %r reads again.", self.group)
                failures, warned = 0, False
            except faults.FAILURES as error:
                self._unseen = True
                failures += 1
                if faults.stream_is_gone(error):
                    self._recheck()
                else:
                    sentence = faults.explain(error, self._settings, doing=f"reading group {self.group!r}")
                    if not faults.passes(error):
                        raise sentence from None
                    if not warned:
                        _LOG.warning("%s Trying again until it works.", sentence)
                        warned = True
                # Consumers that failed together do not come back together.
                await anyio.sleep(faults.pause_seconds(failures) * random.uniform(0.5, 1))  # noqa: S311

    async def _until_it_fails(self, work: Awaitable[None]) -> None:
        """Do what a task is for; whatever ends it is the caller's to hear of, who would wait for ever."""
        try:
            await work
        except AbeRedisError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - a bug of ours, too
            _LOG.exception("The consumer of group %r failed.", self.group)
            self._error = AbeRedisError(f"The consumer failed unexpectedly: {type(error).__name__}.")
        self._arrived.set()

    async def _turn(self, connections: Connections) -> None:
        redis, holdings = connections.commands, self._holdings
        if self._unseen:
            await self._readers.end()
            await holdings.give_back_unseen(redis, self._joined())
            self._unseen, self._abandoned_at = False, 0.0
            self._left.clear()
        # In every turn: what has come is leased, and must not wait for its renewal until it is wanted.
        self._accept(news := self._readers.collect())
        self._rota.note_news(news)
        if time.monotonic() >= self._tick_at:
            await self._tick(redis)
        if time.monotonic() >= self._renew_at:
            await holdings.renew(redis)
            self._renew_at = time.monotonic() + self._settings.redis_stream_lease_seconds / 3
        if self._leaving and holdings.buffer:
            await holdings.give_back_buffered(redis, list(holdings.buffer))
        seconds = max(0.001, min(self._tick_at, self._renew_at) - time.monotonic())
        if not self._wants_more() or not self._discovery.ready:
            self._wanted.clear()
            with anyio.move_on_after(seconds):
                await self._wanted.wait()
        else:
            self._settler.reading.set()
            if time.monotonic() < self._abandoned_at or not await self._take_abandoned(redis):
                await self._take_new(connections, seconds)

    def _recheck(self) -> None:
        """Look anew at every stream: one of them is not what it was."""
        self._left.update(dict.fromkeys(self._discovery.joined))
        self._discovery.recheck()
        self._tick_at = 0.0

    def _joined(self) -> list[str]:
        """Streams in whose group we may hold something."""
        return list(self._left | dict.fromkeys(self._discovery.joined))

    def _wants_more(self) -> bool:
        """Whether to lease another batch: someone waits for it, or will in no time."""
        wanted = self._waiting or self._pace.ahead > 1
        return wanted and not self._leaving and self._pace.has_room(len(self._holdings.buffer))

    async def _tick(self, redis: Redis) -> None:
        """Find streams, let go of paused ones and of what others could do now, and take care of the rest."""
        await self._discovery.tick(redis)
        if held := self._holdings.buffered_in(self._discovery.paused):
            await self._holdings.give_back_buffered(redis, held)
        if self._holdings.buffer and not self._waiting and self._pace.is_slow(self._holdings.handed_out_at):
            await self._holdings.give_back_buffered(redis, list(self._holdings.buffer))
            self._abandoned_at = 0.0
        active, self._holdings.active = self._holdings.active, set()
        await self._caretaker.tick(redis, self._discovery.ready, active)
        self._tick_at = time.monotonic() + TICK_SECONDS

    async def _take_new(self, connections: Connections, seconds: float) -> None:
        self._rota.follow(self._discovery.ready)
        most = self._pace.batch
        if self._rota.is_quiet:
            streams = list(self._discovery.ready)
            count = max(1, most // len(streams))
            waiting = self._readers.wait(connections.blocking, streams, count=count, seconds=seconds)
            leased = await self._accepted(waiting)
            self._rota.note_news(leased)
        else:
            await self._accepted(self._more(connections.commands, most))

    async def _more(self, redis: Redis, most: int) -> list[lease.Leased]:
        taken = await lease.take_more(redis, self.group, self.name, self._rota.plan(most), most=most)
        self._rota.note(taken.looked_at, taken.leased, taken.more)
        for stream, count in taken.lost.items():
            say_lost(stream, self.group, count)
        if taken.failure is not None:
            self._recheck()
        return taken.leased

    async def _take_abandoned(self, redis: Redis) -> bool:
        """Take what has no holder any more; one by one, if it may be what killed its handler."""
        leased = await self._accepted(self._abandoned(redis))
        if not leased:
            self._abandoned_at = time.monotonic() + 2 * TICK_SECONDS
        return bool(leased)

    async def _abandoned(self, redis: Redis) -> list[lease.Leased]:
        leased, lost = await lease.take_abandoned(
            redis,
            self.group,
            self.name,
            # In another order each time, so that none is always served last.
            random.sample(list(self._discovery.ready), len(self._discovery.ready)),
            lease_seconds=self._settings.redis_stream_lease_seconds,
            count=1,
            fresh=self._pace.ahead,
        )
        for stream, count in lost.items():
            say_lost(stream, self.group, count)
        return leased

    async def _accepted(self, taking: Awaitable[list[lease.Leased]]) -> list[lease.Leased]:
        """Take in what a read leases us."""
        self._unseen = True
        leased = await taking
        self._unseen = False
        self._accept(leased)
        return leased

    def _accept(self, leased: list[lease.Leased]) -> None:
        if leased:
            self._holdings.accept(leased)
            self._pace.note_batch(self._holdings.handed_out, self._holdings.largest_bytes)
            if self._holdings.buffer:
                self._arrived.set()
            if self._holdings.has_finished:
                self._settler.finished.set()

    # The end ----------------------------------------------------------------------------------

    def _close_soon(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"abe-redis close {self.name}")

    async def _close(self) -> None:
        self._closed = True
        try:
            if self._task is not None:
                await tasks.end(self._task)
                if self._settling is not None:
                    await tasks.end(self._settling)
                self._unseen |= self._readers.are_under_way
                await self._readers.end()
                with anyio.fail_after(CLOSE_SECONDS):
                    redis = (await self._open()).commands
                    await self._holdings.give_back(redis, self._joined(), unseen=self._unseen)
        except (*faults.FAILURES, AbeRedisError) as error:
            _LOG.warning(
                "What consumer %r held could not be given back (%s); it is delivered again after its lease.",
                self.name,
                type(error).__name__,
            )
        finally:
            self._arrived.set()
            self.on_closed(self)

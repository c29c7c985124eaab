"""What one consumer holds, and how it lets go: by ack, by burial, by giving back."""

import logging
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Protocol

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.events import codec
from abe_redis.events.event import Event, Holder, merged_types_of, trace_of
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import dead, lease, release

RENEWED_AT_ONCE = 500
"""How many leases one command renews, so that the server is not held up."""

_LOG = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Held:
    """An entry that this consumer holds."""

    entry: lease.Leased
    key: tuple[str, str]
    """Stream and id."""
    leased_at: float
    """When, by `clock.now`, the lease was asked for or renewed; it began then or later."""
    handed_at: float | None = None
    """Monotonic time when it was given to the handler."""
    lost: bool = False
    """Whether somebody else holds it by now."""
    on_lost: Callable[[], None] | None = None
    """Called when it is lost while the handler has it."""
    opened: Event | None = None
    """The event, while it is in a handler's hand."""

    @property
    def event(self) -> Event:
        """What the handler has in hand."""
        if self.opened is None:
            raise RuntimeError("It is not in a handler's hand.")
        return self.opened

    def lose(self) -> None:
        """Note that it is not ours any more."""
        if not self.lost:
            self.lost = True
            if self.on_lost is not None:
                self.on_lost()


class Buffer(Protocol):
    """What is leased ahead, in the order in which it is handed out; a `deque` is one."""

    def __iter__(self) -> Iterator[Held]: ...

    def __len__(self) -> int: ...

    def append(self, held: Held, /) -> None:
        """Take in what was leased."""

    def remove(self, held: Held, /) -> None:
        """Let go of one."""

    def clear(self) -> None:
        """Let go of all."""


class InFlight:
    """The events of one consumer, from their lease to their end."""

    def __init__(self, settings: Settings, group: str, consumer: str, holder: Holder, buffer: Buffer) -> None:
        self.buffer = buffer
        """Leased ahead, in the order in which they are handed out."""
        self.delivered_events: dict[tuple[str, str], Held] = {}
        """What handlers work on, by stream and id."""
        self.active: set[str] = set()
        """Streams in which something was finished since this was last emptied."""
        self.largest_bytes = 1
        """Size of the largest payload among what was last accepted."""
        self.delivered = 0
        """How many events handlers have been given."""
        self.delivered_at = 0.0
        """Monotonic time when a handler was last given an event."""
        self._finished: list[Held] = []
        self._condemned: list[tuple[lease.Leased, str]] = []
        self._settings = settings
        self._holder = holder
        self._group = group
        self._consumer = consumer

    def accept(self, leased: Iterable[lease.Leased]) -> list[Held]:
        """Take in what was leased; what cannot be handled here is set aside, to be buried or acked.

        Returns:
            What can be handled; it is in the buffer.
        """
        accepted: list[Held] = []
        largest = 1
        for entry in leased:
            largest = max(largest, len(entry.fields.get(codec.DATA, b"")))
            held = Held(entry, (entry.stream, entry.id), entry.asked_at)
            try:
                dead.check_leased(entry, self._group, self._settings.redis_stream_max_deliveries)
            except dead.CondemnedError as reason:
                self._condemned.append((entry, str(reason)))
            except dead.ForOthersError:
                self._finished.append(held)
            else:
                self.buffer.append(held)
                accepted.append(held)
        self.largest_bytes = largest
        return accepted

    @property
    def has_finished(self) -> bool:
        """Whether something is finished and not acked yet, or waits for its burial."""
        return bool(self._finished or self._condemned)

    def deliver(self, held: Held) -> bool:
        """Count what was taken from the buffer as being in a handler's hand; False if it holds no event."""
        entry = held.entry
        # Not before: what waits decoded keeps Python's garbage collector busy.
        try:
            payload = dead.open_leased(entry)
        except dead.CondemnedError as reason:
            self._condemned.append((entry, str(reason)))
            return False
        held.opened = Event(
            payload,
            stream=entry.stream,
            group=self._group,
            id=entry.id,
            deliveries=entry.deliveries,
            origin=entry.fields.get(codec.ORIGIN, b"").decode(errors="replace") or None,
            trace=trace_of(entry.fields),
            merged_types=merged_types_of(entry.fields),
            holder=self._holder,
        )
        held.handed_at = self.delivered_at = time.monotonic()
        self.delivered += 1
        self.delivered_events[held.key] = held
        return True

    def finish(self, held: Held) -> None:
        """The handler is done with this; `ack` follows."""
        if self.delivered_events.pop(held.key, None) is not None:
            held.opened = None
            self._finished.append(held)

    async def nack(self, redis: Redis, held: Held, *, delay_seconds: float) -> bool:
        """Give back what a handler has in hand; False when it was not ours any more.

        If that fails, it is not renewed any more, so it is delivered again after its lease.
        """
        stream, entry_id = held.key
        self.delivered_events.pop(held.key, None)
        return await release.postpone(
            redis, stream, self._group, self._consumer, entry_id, delay_seconds=delay_seconds
        )

    async def bury_in_hand(self, redis: Redis, held: Held, reason: str) -> bool:
        """Move what a handler has in hand to the dead letters; False when it was not ours any more.

        If that fails, it is not renewed any more, so it is delivered again after its lease.
        """
        stream, entry_id = held.key
        self.delivered_events.pop(held.key, None)
        self.active.add(stream)
        return await dead.bury(redis, stream, self._group, self._consumer, entry_id, reason)

    async def renew(self, redis: Redis) -> None:
        """Begin the leases anew, except of what the handler has had for too long."""
        oldest = time.monotonic() - self._settings.redis_stream_max_handling_seconds
        for held in self.delivered_events.values():
            if held.handed_at is not None and held.handed_at < oldest and not held.lost:
                _LOG.warning(
                    "Event %s of %r is not renewed any more: its handler has had it for too long.",
                    held.entry.id,
                    held.entry.stream,
                )
                held.lose()
        await self.renew_these(redis, self._every())

    def _every(self) -> list[Held]:
        return [*self.buffer, *self.delivered_events.values(), *self._finished]

    async def renew_these(self, redis: Redis, every: Sequence[Held]) -> None:
        """Begin some leases anew; what is not ours any more is lost."""
        for ours in batched((held for held in every if not held.lost), RENEWED_AT_ONCE):
            now = clock.now()
            lost = await lease.renew(redis, self._group, self._consumer, [held.key for held in ours])
            for held in ours:
                held.leased_at = now
                if held.key in lost:
                    held.lose()

    async def ack(self, redis: Redis) -> None:
        """Ack what is finished; what fails stays finished and is acked the next time."""
        entries = [held.key for held in self._finished]
        outcomes = await lease.ack(redis, self._group, self._consumer, entries)
        del self._finished[: len(entries)]  # more may have come behind them
        self.active.update({stream for stream, _ in entries})
        for (stream, entry_id), outcome in zip(entries, outcomes, strict=True):
            if outcome == "not_held":
                _LOG.warning(
                    "Event %s of %r took longer than its lease and was given to another consumer.",
                    entry_id,
                    stream,
                )

    async def bury(self, redis: Redis) -> None:
        """Move what cannot be handled to the dead letters.

        Raises:
            redis.RedisError: The server could not be reached.
        """
        while self._condemned:
            entry, reason = self._condemned[0]
            try:
                buried = await dead.bury(redis, entry.stream, self._group, self._consumer, entry.id, reason)
            except failures.FAILURES as error:
                if failures.passes(error):
                    raise
                doing = f"burying {entry.id} of {entry.stream!r}"
                _LOG.error(
                    "%s The entry stays pending.", failures.explain(error, self._settings, doing=doing)
                )
            else:
                if buried:
                    _LOG.warning("Buried entry %s of %r: %s.", entry.id, entry.stream, reason)
                    self.active.add(entry.stream)
            self._condemned.pop(0)

    def known(self, stream: str) -> set[tuple[str, str]]:
        """Stream and id of what is held of a stream, finished or not."""
        return {key for key in self._keys() if key[0] == stream}

    def _keys(self) -> Iterator[tuple[str, str]]:
        yield from (held.key for held in self._every())
        yield from ((entry.stream, entry.id) for entry, _ in self._condemned)

    def is_settling(self, stream: str) -> bool:
        """Whether something of a stream is finished and not acked yet, or waits for its burial."""
        unsettled = (*(held.entry for held in self._finished), *(entry for entry, _ in self._condemned))
        return any(entry.stream == stream for entry in unsettled)

    def buffered_in(self, streams: Container[str]) -> list[Held]:
        """What was leased ahead from these streams."""
        return [held for held in self.buffer if held.entry.stream in streams]

    async def give_back_buffered(
        self, redis: Redis, given: list[Held], *, draining: Iterable[str] = ()
    ) -> None:
        """Give back what was leased ahead, as not delivered.

        Args:
            given: What.
            draining: Streams of which nothing is held then, so that this consumer leaves their groups.
        """
        for held in given:
            self.buffer.remove(held)
        known = {held.key: held.entry.deliveries - 1 for held in given}
        streams = list(dict.fromkeys((*lease.by_stream(known), *draining)))
        await release.release(redis, self._group, self._consumer, streams, known, everything=False)

    async def give_back_unseen(self, redis: Redis, streams: list[str]) -> None:
        """Give back what a failed read may have leased us without our seeing it."""
        if not self._may_take_all or not streams:
            return
        known = dict.fromkeys(self._keys(), release.KEEP)
        await release.release(redis, self._group, self._consumer, streams, known, everything=True)

    async def give_back(self, redis: Redis, streams: list[str], *, unseen: bool) -> None:
        """Ack what is finished, bury what cannot be handled, and give back the rest.

        Only what was in hand counts as delivered.

        Args:
            streams: Every stream this consumer reads; it leaves their groups.
            unseen: Whether it may hold more than it knows of.
        """
        await self.ack(redis)
        await self.bury(redis)
        known = {held.key: held.entry.deliveries - 1 for held in self.buffer}
        known |= {key: held.entry.deliveries for key, held in self.delivered_events.items()}
        self.buffer.clear()
        if streams:
            everything = unseen and self._may_take_all
            await release.release(redis, self._group, self._consumer, streams, known, everything=everything)

    @property
    def _may_take_all(self) -> bool:
        """Whether the name is ours alone: under one that was configured, a twin would be robbed."""
        return self._settings.redis_stream_consumer is None

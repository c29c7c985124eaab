"""The events in flight of one consumer, from lease to ack, burial or release."""

import logging
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
"""Most leases that one command renews, so that it does not block the server."""

_LOG = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Held:
    """An entry that this consumer holds."""

    entry: lease.Leased
    key: tuple[str, str]
    """Stream and id."""
    leased_at: float
    """Time, by `clock.now`, of the request for the lease or its renewal; it began then or later."""
    handed_at: float | None = None
    """Monotonic time of its delivery to the handler."""
    lost: bool = False
    """True when another consumer holds it."""
    on_lost: Callable[[], None] | None = None
    """Called when it is lost while its handler runs."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """What is kept beside the reason when it is buried."""
    opened: Event | None = None
    """The event, while its handler runs."""

    @property
    def event(self) -> Event:
        """The event of the handler."""
        if self.opened is None:
            raise RuntimeError("It is not in a handler's hand.")
        return self.opened

    def lose(self) -> None:
        """Note that it is no longer ours."""
        if not self.lost:
            self.lost = True
            if self.on_lost is not None:
                self.on_lost()


class Buffer(Protocol):
    """The prefetched entries, in the order of their delivery; a `deque` satisfies it."""

    def __iter__(self) -> Iterator[Held]: ...

    def __len__(self) -> int: ...

    def append(self, held: Held, /) -> None:
        """Add a leased entry."""

    def remove(self, held: Held, /) -> None:
        """Remove an entry."""

    def clear(self) -> None:
        """Remove all entries."""


class InFlight:
    """The events of one consumer, from lease to settlement."""

    def __init__(self, settings: Settings, group: str, consumer: str, holder: Holder, buffer: Buffer) -> None:
        self.buffer = buffer
        """The prefetched entries, in the order of their delivery."""
        self.delivered_events: dict[tuple[str, str], Held] = {}
        """The entries of running handlers, by stream and id."""
        self.active: set[str] = set()
        """Streams in which an event was finished since this set was last emptied."""
        self.largest_bytes = 1
        """Size of the largest payload in the last batch."""
        self.delivered = 0
        """Number of delivered events."""
        self.delivered_at = 0.0
        """Monotonic time of the last delivery."""
        self._finished: list[Held] = []
        self._condemned: list[tuple[lease.Leased, str]] = []
        self._settings = settings
        self._holder = holder
        self._group = group
        self._consumer = consumer

    def accept(self, leased: Iterable[lease.Leased]) -> list[Held]:
        """Take in leased entries. Those that cannot be handled here are set aside, to be buried or acked.

        Returns:
            The entries that can be handled; they are in the buffer.
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
        """Whether an entry is finished and not acked yet, or waits for burial."""
        return bool(self._finished or self._condemned)

    def deliver(self, held: Held) -> bool:
        """Count an entry from the buffer as delivered; False if it holds no event."""
        entry = held.entry
        # Decode only now: decoded events that wait keep Python's garbage collector busy.
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
        """Finish an event; `ack` follows."""
        if self.delivered_events.pop(held.key, None) is not None:
            held.opened = None
            self._finished.append(held)

    async def nack(self, redis: Redis, held: Held, *, delay_seconds: float) -> bool:
        """Nack an event; False when it was no longer ours.

        If that fails, the lease is no longer renewed, so the event is delivered again when it expires.
        """
        stream, entry_id = held.key
        self.delivered_events.pop(held.key, None)
        return await release.postpone(
            redis, stream, self._group, self._consumer, entry_id, delay_seconds=delay_seconds
        )

    async def bury_in_hand(self, redis: Redis, held: Held, reason: str) -> bool:
        """Bury an event; False when it was no longer ours.

        If that fails, the lease is no longer renewed, so the event is delivered again when it expires.
        """
        stream, entry_id = held.key
        self.delivered_events.pop(held.key, None)
        self.active.add(stream)
        return await dead.bury(redis, stream, self._group, self._consumer, entry_id, reason, held.detail)

    async def renew(self, redis: Redis) -> None:
        """Renew the leases, except those of events that were handled for too long."""
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
        """Renew some leases; entries that are no longer ours are lost."""
        for ours in batched((held for held in every if not held.lost), RENEWED_AT_ONCE):
            now = clock.now()
            lost = await lease.renew(redis, self._group, self._consumer, [held.key for held in ours])
            for held in ours:
                if held.key in lost:
                    held.lose()
                else:
                    held.leased_at = now

    async def ack(self, redis: Redis) -> None:
        """Ack finished events. If that fails, they are acked the next time."""
        finished = list(self._finished)
        entries = [held.key for held in finished]
        outcomes = await lease.ack(redis, self._group, self._consumer, entries)
        del self._finished[: len(entries)]  # more may have come behind them
        self.active.update({stream for stream, _ in entries})
        lease_seconds = self._settings.redis_stream_lease_seconds
        for held, outcome in zip(finished, outcomes, strict=True):
            stream, entry_id = held.key
            # Others have finished what nobody holds, unless it was our own ack, which had no answer at first.
            is_late = held.lost or clock.now() - held.leased_at > lease_seconds
            if outcome == "not_held" or (outcome == "unknown" and is_late):
                _LOG.warning(
                    "Event %s of %r took longer than its lease and was given to another consumer.",
                    entry_id,
                    stream,
                )

    async def bury(self, redis: Redis) -> None:
        """Move the entries that cannot be handled to the dead letters.

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
        """Stream and id of the held entries of a stream, finished or not."""
        return {key for key in self._keys() if key[0] == stream}

    def _keys(self) -> Iterator[tuple[str, str]]:
        yield from (held.key for held in self._every())
        yield from ((entry.stream, entry.id) for entry, _ in self._condemned)

    def is_settling(self, stream: str) -> bool:
        """Whether an entry of a stream is finished and not acked yet, or waits for burial."""
        unsettled = (*(held.entry for held in self._finished), *(entry for entry, _ in self._condemned))
        return any(entry.stream == stream for entry in unsettled)

    def buffered_in(self, streams: Container[str]) -> list[Held]:
        """The prefetched entries of these streams."""
        return [held for held in self.buffer if held.entry.stream in streams]

    async def give_back_buffered(
        self, redis: Redis, given: list[Held], *, draining: Iterable[str] = ()
    ) -> None:
        """Release prefetched entries, without counting a delivery.

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
        """Release the entries that an unconfirmed read may have leased."""
        if not self._may_take_all or not streams:
            return
        known = dict.fromkeys(self._keys(), release.KEEP)
        await release.release(redis, self._group, self._consumer, streams, known, everything=True)

    async def give_back(self, redis: Redis, streams: list[str], *, unseen: bool) -> None:
        """Ack finished events, bury those that cannot be handled, and release the others.

        Only deliveries to a handler count.

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
        """Whether the name is ours alone; a twin with the same configured name would lose events."""
        return self._settings.redis_stream_consumer is None

"""What one consumer has in flight, and how it lets go: by ack, by burial, by giving back."""

import contextlib
import time
from collections.abc import Callable, Container, Iterable
from typing import Any

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.consuming.duplicates import Recognition
from abe_redis.consuming.held import Buffer, Held
from abe_redis.consuming.leases import Leases
from abe_redis.consuming.settling import may_work_later
from abe_redis.events import codec
from abe_redis.events.arrival import arrival_of
from abe_redis.events.event import Event, Holder, merged_types_of, trace_of
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import dead, lease, release


class InFlight(Leases):
    """The events of one consumer, from their lease to their end."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        consumer: str,
        holder: Holder,
        buffer: Buffer,
        *,
        on_group_gone: Callable[[], None] = lambda: None,
    ) -> None:
        """Hold nothing yet.

        Args:
            settings: Leases, and how often an event is delivered.
            group: The group.
            consumer: The name under which it leases.
            holder: Who settles an event in a handler's hand.
            buffer: What is leased ahead.
            on_group_gone: Called when a group does not exist in which something is in flight.
        """
        super().__init__(settings, group, consumer, buffer, on_group_gone)
        self.largest_bytes = 1
        """Size of the largest payload in the last batch."""
        self.delivered = 0
        """Number of delivered events."""
        self.delivered_at = 0.0
        """Monotonic time when a handler was last given an event."""
        self.buries_in_turn = False
        """Whether what is to be buried waits in the buffer until `condemn`, since others wait behind it."""
        self._recognition = Recognition()
        self._holder = holder

    def accept(self, leased: Iterable[lease.Leased]) -> list[Held]:
        """Take in leased entries. Those that cannot be handled here are set aside, to be buried or acked.

        Returns:
            The entries that can be handled; they are in the buffer.
        """
        accepted: list[Held] = []
        largest = 1
        leased = [self._with_all_counted(entry) for entry in leased] if self._unsaid else list(leased)
        if self._recognition.may_know(leased):
            leased = [entry for entry in leased if self._is_news(entry)]
        for entry in leased:
            largest = max(largest, len(entry.fields.get(codec.DATA, b"")))
            held = Held(entry, (entry.stream, entry.id), entry.asked_at)
            try:
                reason = self._reason_to_bury(held)
            except dead.ForOthersError:
                held.is_let_go = True
                self._finished.append(held)
                continue
            if reason is None or self.buries_in_turn:
                self.buffer.append(held)
                accepted.append(held)
            else:
                self._condemned.append((held, reason))
        self.largest_bytes = largest
        return accepted

    def condemn(self, held: Held) -> bool:
        """Set an entry from the buffer aside to be buried, if it was delivered too often; else False."""
        if (reason := self._reason_to_bury(held)) is None:
            return False
        self._condemned.append((held, reason))
        return True

    def _reason_to_bury(self, held: Held) -> str | None:
        try:
            dead.check_leased(held.entry, self._group, self._settings.redis_stream_max_deliveries)
        except dead.PoisonEntryError as reason:
            return str(reason)
        return None

    def _is_news(self, entry: lease.Leased) -> bool:
        """Whether to take an entry in: not while a handler is at work with it, or it waits to be settled."""
        key = (entry.stream, entry.id)
        at_work = self.delivered_events.get(key)
        if at_work is None:
            for held in [held for held in self.buffer if held.key == key]:
                self.buffer.remove(held)  # what Redis says of it is newer
            return key not in self._keys_to_settle()
        if at_work.lost:
            self._waiting[key] = Held(self._counted_at_least(entry, at_work), key, entry.asked_at)
        else:
            at_work.leased_at = entry.asked_at
            self._uncounted[key] = at_work
        return False

    @property
    def has_unsettled(self) -> bool:
        """Whether there is something that Redis does not know yet."""
        return bool(
            self._finished
            or self._condemned
            or self._returning
            or self._uncounted
            or self._unsaid
            or self._parted
        )

    def deliver(self, held: Held) -> bool:
        """Count an entry from the buffer as delivered; False if it holds no event."""
        entry = held.entry
        # Decode only now: decoded events that wait keep Python's garbage collector busy.
        try:
            payload = dead.open_leased(entry)
        except dead.PoisonEntryError as reason:
            self._condemned.append((held, str(reason)))
            return False
        fields = entry.fields
        beside: dict[str, Any] = {}
        if len(fields) > 1:  # seldom
            beside = {
                "origin": fields.get(codec.ORIGIN, b"").decode(errors="replace") or None,
                "trace": trace_of(fields),
                "merged_types": merged_types_of(fields),
                "arrival": arrival_of(fields),
            }
        held.opened = Event(
            payload,
            stream=entry.stream,
            group=self._group,
            id=entry.id,
            deliveries=entry.deliveries,
            holder=self._holder,
            **beside,
        )
        held.handed_at = self.delivered_at = time.monotonic()
        self.delivered += 1
        self.delivered_events[held.key] = held
        if not entry.again:
            self._uncounted[held.key] = held
        return True

    def _take_out(self, held: Held) -> bool:
        """Take it out of a handler's hand; False if it was not there any more."""
        self._uncounted.pop(held.key, None)
        if held.opened is not None:
            self._holding.ended(held)
        held.opened = None
        return self.delivered_events.pop(held.key, None) is not None

    def finish(self, held: Held) -> None:
        """The handler is done with this; `ack` follows, so it is not given back though we parted with it."""
        self._parted.pop(held.key, None)
        if self._take_out(held):
            self._finished.append(held)

    def ended(self, held: Held) -> bool:
        """Note that the handler is not at work any more; True if the event waited for that, to come again."""
        held.has_ended = True
        if held.lost and self.delivered_events.get(held.key) is held:
            if self._uncounted.get(held.key) is held:
                self.insist_on_count(held)
            self._take_out(held)
        if held.key not in self._waiting or held.key in self.delivered_events:
            return False
        self.buffer.append(self._waiting.pop(held.key))
        return True

    async def nack(self, redis: Redis, held: Held, *, delay_seconds: float, insist: bool = False) -> bool:
        """Give back what a handler has in hand; False when it was not ours any more.

        Args:
            held: What.
            delay_seconds: After how long it is delivered again.
            insist: Whether it is given back later if Redis does not answer now.
        """
        self._take_out(held)
        due_at = clock.now() + delay_seconds
        self._letting_go[held.key] = held
        try:
            return await self.postpone(redis, held, delay_seconds)
        except BaseException as error:
            if insist and may_work_later(error):
                self.insist_on_nack(held, due_at)
            elif may_work_later(error):
                self.insist_on_count(held)
            raise
        finally:
            del self._letting_go[held.key]

    async def bury_delivered(self, redis: Redis, held: Held, reason: str) -> bool:
        """Move what a handler has in hand to the dead letters; False when it was not ours any more.

        It is buried later if Redis does not answer now.
        """
        self._take_out(held)
        self.active.add(held.key[0])
        self._letting_go[held.key] = held
        try:
            return await self.move_to_dead_letters(redis, held, reason, in_hand=True)
        except BaseException as error:
            if may_work_later(error):
                self.insist_on_burial(held, reason)
            raise
        finally:
            del self._letting_go[held.key]

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
        await self.renew_these(redis, given)  # which puts back what somebody dropped
        known = {held.key: held.begun for held in given}
        streams = list(dict.fromkeys((*lease.by_stream(known), *draining)))
        await release.release(
            *(redis, self._group, self._consumer, streams, known),
            everything=False,
            in_hand=self._in_hand(given),
        )

    def _in_hand(self, given: Iterable[Held]) -> dict[tuple[str, str], bool]:
        """What is given back and may have been dropped, each with whether its lease cannot be over."""
        return {held.key: self.is_sure(held) for held in given if not (held.lost or held.is_let_go)}

    async def give_back_unconfirmed(self, redis: Redis, streams: list[str], *, counted: bool = True) -> None:
        """Give back what a failed read may have leased us without our seeing it.

        Args:
            streams: Every stream it may have read.
            counted: Whether Redis counted what it gave as delivered, as a blocking read does.
        """
        if not self.may_take_all or not streams:
            return
        kept = (*self._every(), *self._letting_go.values(), *self._unsaid.values())
        known = {held.key: release.KEEP for held in kept}
        await release.release(
            redis, self._group, self._consumer, streams, known, everything=True, counted=counted
        )

    async def give_back(
        self, redis: Redis, streams: list[str], *, unconfirmed: bool, counted: bool = True
    ) -> None:
        """Ack what is finished, bury what cannot be handled, and give back the rest.

        Only deliveries to a handler count.

        Args:
            streams: Every stream this consumer reads; it leaves their groups.
            unconfirmed: A read is unconfirmed, so Redis may have leased more entries than we know.
            counted: As for `give_back_unconfirmed`.
        """
        self.is_closing = True
        await self.ack(redis)
        await self.say_parted(redis)
        await self.return_late(redis)
        with contextlib.suppress(*failures.FAILURES):  # what Redis has no memory for now, others bury
            await self.bury(redis)
        known = dict.fromkeys(self._unsaid, release.KEEP)
        await self.say_counts(redis)
        condemned = (held for held, _ in self._condemned)
        delivered = (held for held in self.delivered_events.values() if not held.is_at_work)
        known |= dict.fromkeys((held.key for held in self.at_work), release.KEEP)
        given = [*self.buffer, *delivered, *self._waiting.values(), *condemned]
        await self.renew_these(redis, given)  # which puts back what somebody dropped
        known |= {held.key: held.begun for held in given}
        self.buffer.clear()
        if streams:
            everything = unconfirmed and self.may_take_all
            await release.release(
                redis,
                self._group,
                self._consumer,
                streams,
                known,
                everything=everything,
                counted=counted,
                leaves=True,
                in_hand=self._in_hand(given),
            )

    @property
    def at_work(self) -> list[Held]:
        """What handlers are at work with that can be cancelled."""
        return [held for held in self.delivered_events.values() if held.is_at_work]

    @property
    def may_take_all(self) -> bool:
        """Whether the name is ours alone; a twin with the same configured name would lose events."""
        return self._settings.redis_stream_consumer is None

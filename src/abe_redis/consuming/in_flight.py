"""The events that one consumer has in flight, and how they are settled: by ack, burial or release."""

import contextlib
import time
from collections.abc import Callable, Container, Iterable, Iterator

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.consuming.duplicates import Recognition
from abe_redis.consuming.held import Buffer, Held
from abe_redis.consuming.leases import Leases
from abe_redis.consuming.settling import may_work_later
from abe_redis.consuming.unconfirmed import Doubt, Unconfirmed
from abe_redis.events import codec
from abe_redis.events.arrival import arrival_of
from abe_redis.events.event import Event, Holder, merged_types_of, trace_of
from abe_redis.runtime import clock
from abe_redis.settings import Settings
from abe_redis.streams import dead, lease, release, renewal

_MOST_LAST_WORDS = 1000


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
            holder: Settles an event that a handler works on.
            buffer: What is leased ahead.
            on_group_gone: Called when something is in flight in a group that does not exist.
        """
        super().__init__(settings, group, consumer, buffer, on_group_gone)
        self.most_deliveries = settings.redis_stream_max_deliveries
        """Deliveries after which an event is buried."""
        self.largest_bytes = 1
        """Size of the largest payload in the last batch."""
        self.delivered = 0
        """Number of delivered events."""
        self.delivered_at = 0.0
        """Monotonic time when a handler was last given an event."""
        self.buries_in_turn = False
        """Whether an entry to bury waits in the buffer until `condemn`, because others wait behind it."""
        self._recognition = Recognition()
        self._last_words: dict[tuple[str, str], str] = {}
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
            waiting = {held.key: held for held in self.buffer}
            settling = self._keys_to_settle() | self._starting
            leased = [entry for entry in leased if self._is_news(entry, waiting, settling)]
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
        if dead.is_deliverable(held.entry, self.most_deliveries):  # as nearly every entry
            return None
        try:
            dead.check_leased(held.entry, self._group, self.most_deliveries)
        except dead.PoisonEntryError as reason:
            said = self._last_words.get(held.key)
            return f"{reason}, last given back with: {said}" if said else str(reason)
        return None

    def note_last_words(self, held: Held, reason: str) -> None:
        """Note why an event is given back after its last delivery: its dead letter says so."""
        if held.entry.deliveries >= self.most_deliveries:
            known = [*self._last_words.items(), (held.key, reason)]
            self._last_words = dict(known[-_MOST_LAST_WORDS:])

    def _is_news(
        self, entry: lease.Leased, waiting: dict[tuple[str, str], Held], settling: set[tuple[str, str]]
    ) -> bool:
        """Whether to take an entry in: not while a handler works on it, nor while it waits to be settled."""
        key = (entry.stream, entry.id)
        at_work = self.delivered_events.get(key)
        if at_work is None:
            if key in waiting:
                self.buffer.remove(waiting[key])  # Redis has newer facts about it
            return key not in settling
        if at_work.lost:
            self._waiting[key] = Held(self._counted_at_least(entry, at_work), key, entry.asked_at)
        else:
            at_work.leased_at, at_work.is_given_up = entry.asked_at, False
            self._uncounted[key] = at_work
        return False

    @contextlib.contextmanager
    def starting(self, held: Held) -> Iterator[None]:
        """Keep in mind that an event which left the buffer is here, while Redis counts its delivery."""
        self._starting.add(held.key)
        try:
            yield
        finally:
            self._starting.discard(held.key)

    @property
    def has_untold(self) -> bool:
        """Whether handlers have begun or ended with something, and Redis does not know of it yet."""
        return bool(self._here(self._finished) or self._here(self._uncounted.values()))

    @property
    def has_leftovers(self) -> bool:
        """Whether something else waits until Redis is told."""
        waiting = (*(held for held, _ in self._condemned), *self._unsaid.values(), *self._parted.values())
        return bool(self._here((*waiting, *(held for held, _ in self._returning.values()))))

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
        held.opened = event = Event(
            payload,
            stream=entry.stream,
            group=self._group,
            id=entry.id,
            deliveries=entry.deliveries,
            holder=self._holder,
        )
        if len(fields) > 1:  # seldom
            event.origin = fields.get(codec.ORIGIN, b"").decode(errors="replace") or None
            event.trace = trace_of(fields)
            event.merged_types = merged_types_of(fields)
            event.arrival = arrival_of(fields)
        held.handed_at = self.delivered_at = time.monotonic()
        self.delivered += 1
        self.delivered_events[held.key] = held
        if not entry.again:
            self._uncounted[held.key] = held
        return True

    def _take_out(self, held: Held) -> bool:
        """Take it from its handler; False if the handler no longer had it."""
        self._uncounted.pop(held.key, None)
        if held.opened is not None:
            self._holding.ended(held)
        held.opened = None
        return self.delivered_events.pop(held.key, None) is not None

    def finish(self, held: Held) -> None:
        """Note that the handler has finished it; `ack` follows, so `part_with` no longer releases it."""
        self._parted.pop(held.key, None)
        if self._take_out(held):
            self._finished.append(held)

    def ended(self, held: Held) -> bool:
        """Note that the handler has ended; True if the event waited for this to be delivered again."""
        held.has_ended = True
        if held.lost and self.delivered_events.get(held.key) is held:
            if self._uncounted.get(held.key) is held:
                self.count_later(held)
            self._take_out(held)
        if held.key not in self._waiting or held.key in self.delivered_events:
            return False
        self.buffer.append(self._waiting.pop(held.key))
        return True

    async def nack(self, redis: Redis, held: Held, *, delay_seconds: float, later: bool = False) -> bool:
        """Release an event from its handler; False when we no longer held it.

        Args:
            held: The event.
            delay_seconds: Time until it is delivered again.
            later: Whether to release it later if Redis does not answer now.
        """
        self._take_out(held)
        due_at = clock.now() + delay_seconds
        self._letting_go[held.key] = held
        try:
            return await self.postpone(redis, held, delay_seconds)
        except BaseException as error:
            if later and may_work_later(error):
                self.nack_later(held, due_at)
            elif may_work_later(error):
                self.count_later(held)
            raise
        finally:
            del self._letting_go[held.key]

    async def bury_delivered(self, redis: Redis, held: Held, reason: str) -> bool:
        """Move an event from its handler to the dead letters; False when we no longer held it.

        If Redis does not answer now, it is buried later.
        """
        self._take_out(held)
        self.active.add(held.key[0])
        self._letting_go[held.key] = held
        try:
            return await self.move_to_dead_letters(redis, held, reason, in_hand=held.may_be_put_back)
        except BaseException as error:
            if may_work_later(error):
                self.bury_later(held, reason)
            raise
        finally:
            del self._letting_go[held.key]

    def buffered_in(self, streams: Container[str]) -> list[Held]:
        """The prefetched entries of these streams."""
        return [held for held in self.buffer if held.entry.stream in streams]

    async def give_back_buffered(self, redis: Redis, given: list[Held]) -> None:
        """Release prefetched entries, without counting a delivery.

        The consumer stays in their groups: it lives, and whoever looks must see that.
        """
        for held in given:
            self.buffer.remove(held)
        await self.renew_these(redis, given)  # which puts back what somebody dropped
        known = {held.key: held.begun for held in given}
        await release.release(
            *(redis, self._group, self._consumer, list(lease.by_stream(known)), known),
            everything=False,
            stays=True,
            in_hand=self._in_hand(given),
        )

    def _in_hand(self, given: Iterable[Held]) -> dict[tuple[str, str], renewal.Sure]:
        """Entries to release that somebody may have dropped, each with what tells whether its lease lasts."""
        return {held.key: self.sure_of(held) for held in given if held.may_be_put_back and not held.lost}

    async def give_back_unconfirmed(self, redis: Redis, streams: list[str], reads: Unconfirmed) -> None:
        """Release what reads may have leased to us although their answers were lost.

        Args:
            streams: Every stream they may have read.
            reads: Tells whether Redis counted a delivery, and which events were released without an answer.
        """
        if not self.may_take_all or not streams:
            return
        kept = (*self._every(), *self._letting_go.values(), *self._unsaid.values())
        known = {held.key: held.begun for held in reads.given} | {held.key: release.KEEP for held in kept}
        await release.release(
            *(redis, self._group, self._consumer, streams, known),
            everything=True,
            counted=reads.doubt is Doubt.COUNTED,
            stays=True,
        )

    async def give_back(self, redis: Redis, streams: list[str], reads: Unconfirmed) -> None:
        """Ack what is finished, bury what cannot be handled, and give back the rest.

        Only deliveries to a handler count.

        Args:
            streams: Every stream this consumer reads, unless it is away; it leaves their groups.
            reads: Tells whether Redis may have leased more entries than we know, as above.
        """
        self.is_closing = True
        await self.ack(redis)
        await self.say_parted(redis)
        await self.return_late(redis)
        with contextlib.suppress(*failures.FAILURES):  # else others bury it
            await self.bury(redis)
        known = {held.key: held.begun for held in reads.given}
        known |= dict.fromkeys(self._unsaid, release.KEEP)
        await self.say_counts(redis)
        condemned = (held for held, _ in self._condemned)
        delivered = (held for held in self.delivered_events.values() if not held.is_at_work)
        known |= dict.fromkeys((held.key for held in self.at_work), release.KEEP)
        given = self._here((*self.buffer, *delivered, *self._waiting.values(), *condemned))
        await self.renew_these(redis, given)  # which puts back what somebody dropped
        known |= {held.key: held.begun for held in given}
        self.buffer.clear()
        if streams:
            await release.release(
                *(redis, self._group, self._consumer, streams, known),
                everything=reads.doubt is not Doubt.NOTHING and self.may_take_all,
                counted=reads.doubt is Doubt.COUNTED,
                leaves=True,
                in_hand=self._in_hand(given),
            )

    @property
    def streams(self) -> set[str]:
        """The streams of which an event is not settled yet, besides those that were lost."""
        ours = (held for held in self._every() if not held.lost)
        return {held.key[0] for held in (*ours, *self._letting_go.values(), *self._unsaid.values())}

    @property
    def at_work(self) -> list[Held]:
        """The events whose handlers are running and can be cancelled, or were left behind."""
        return [held for held in self.delivered_events.values() if held.is_at_work]

    @property
    def may_take_all(self) -> bool:
        """Whether the name is ours alone; a twin with the same configured name would lose events."""
        return self._settings.redis_stream_consumer is None

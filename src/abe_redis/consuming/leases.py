"""The leases of a consumer's events in flight: renews them, restores dropped ones, counts deliveries."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import batched

from redis.asyncio import Redis

from abe_redis.consuming.held import Buffer, Held
from abe_redis.consuming.hold_times import Holding
from abe_redis.consuming.settling import Settling
from abe_redis.events.log_fields import of
from abe_redis.runtime import clock, plurals
from abe_redis.settings import Settings
from abe_redis.streams import given_up, lease, release, renewal

RENEWED_AT_ONCE = 250
"""Most leases that one command renews, so that it does not block the server."""

COUNTED_AFTER_SECONDS = 0.02
"""A first delivery is counted when its handler runs for longer than this; most events are acked before."""

_LOG = logging.getLogger(__name__)


class Leases(Settling):
    """The events in flight, by how far each has come."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        consumer: str,
        buffer: Buffer,
        on_group_gone: Callable[[], None],
    ) -> None:
        super().__init__(settings, group, consumer, on_group_gone)
        self.buffer = buffer
        """Prefetched events, in the order of their delivery."""
        self.delivered_events: dict[tuple[str, str], Held] = {}
        """The events on which handlers work, by stream and id."""
        self._starting: set[tuple[str, str]] = set()
        """Events that left the buffer, and whose handler begins when Redis has counted that."""
        self._holding = Holding(settings, group, consumer)
        self.is_closing = False
        """Whether handlers no longer finish their events, because the consumer closes."""
        self._waiting: dict[tuple[str, str], Held] = {}
        """Events that were leased to us again while a handler that lost them is still running."""
        self._uncounted: dict[tuple[str, str], Held] = {}
        """Events with a delivery that has begun and that Redis has not counted yet."""
        self._unsaid: dict[tuple[str, str], Held] = {}
        """The same, for events that no handler has any more."""
        self._parted: dict[tuple[str, str], Held] = {}
        """Events that other consumers may hold by now, so that we do not renew them."""
        self.let_go_at = 0.0
        """When we last let go of what a person took from us: a read of before may bring more of it."""
        self._aside: list[Held] = []
        """Prefetched events of streams that are away, which hold up no others in the buffer."""

    async def renew(self, redis: Redis) -> None:
        """Renew the leases, except of events handled for too long; record since when each is held."""
        oldest = time.monotonic() - self._settings.redis_stream_max_handling_seconds
        for held in self.delivered_events.values():
            if held.handed_at is not None and held.handed_at < oldest and not held.lost:
                _LOG.warning(
                    "Event %s of %r is not renewed any more: its handler has had it for too long.",
                    held.entry.id,
                    held.entry.stream,
                    extra=of(held.entry.stream, held.entry.id, self._group),
                )
                held.lose()
        await self.renew_these(redis, self._every())
        await self._holding.tell(redis, self._here(self.delivered_events.values()), away=self.away)

    @property
    def may_postpone(self) -> bool:
        """Whether there is an event that may be postponed soon: a handler has it, or it waits for one."""
        waiting = self.buffer or self._waiting
        return bool(self.delivered_events or waiting or self._returning or self._letting_go)

    def _every(self) -> list[Held]:
        returning = (held for held, _ in self._returning.values())
        condemned = (held for held, _ in self._condemned)
        at_work = (*self.delivered_events.values(), *self._waiting.values())
        return [*self.buffer, *self._aside, *at_work, *self._finished, *returning, *condemned]

    async def renew_these(self, redis: Redis, every: Sequence[Held], *, begins: bool = False) -> None:
        """Renew some leases, and restore dropped entries; entries that another consumer holds are lost.

        Args:
            every: The entries.
            begins: Whether a handler has them, or gets them now.
        """
        for ours in batched((held for held in self._here(every) if not held.lost), RENEWED_AT_ONCE):
            now = clock.now()
            claims = [
                renewal.Claim(*held.key, held.begun, sure=self.sure_of(held), stage=self._stage(held))
                for held in ours
            ]
            outcomes = await renewal.hold(
                *(redis, self._group, self._consumer, claims),
                begins=begins,
                still=lambda at, ours=ours: self._stage(ours[at]) is not renewal.Stage.OVER,  # type: ignore[misc]
            )
            for held, outcome in zip(ours, outcomes, strict=True):
                self._note_outcome(held, outcome, now)
            if dropped := outcomes.count("dropped"):
                _LOG.warning(
                    "Put back %s that consumer %r of group %r has in flight: somebody had removed the "
                    "consumer from the group (XGROUP DELCONSUMER) or acknowledged %s by hand (XACK), or a "
                    "failover lost the latest writes.",
                    plurals.count(dropped, "event"),
                    self._consumer,
                    self._group,
                    "it" if dropped == 1 else "them",
                )

    def _stage(self, held: Held) -> renewal.Stage:
        if held.is_over or held.is_given_up:
            return renewal.Stage.OVER
        at_work = self.delivered_events.get(held.key) is held and not self.is_closing
        return renewal.Stage.AT_WORK if at_work else renewal.Stage.WAITING

    def _note_outcome(self, held: Held, outcome: renewal.Outcome, now: float) -> None:
        match outcome:
            case "done" | "dropped":
                held.leased_at = now
            case "no_group":
                self._on_group_gone()
            case "deleted" if held.key in self.delivered_events:
                held.leased_at = now  # no other consumer can have it, so its handler may finish
            case "given_up" | "unknown" if self._goes_on(held, outcome):
                held.leased_at = now
            case _ if held.key in self._letting_go:
                pass  # the command that lets go of it tells what became of it; nothing may cancel that
            case _:
                held.lose()

    def _goes_on(self, held: Held, outcome: renewal.Outcome) -> bool:
        """Whether an event that a person took from us is with its handler, which may finish."""
        held.is_given_up = held.is_given_up or outcome == "given_up"
        return held.is_given_up and self.delivered_events.get(held.key) is held

    async def let_go_of_given_up(self, redis: Redis, looked: Mapping[str, str]) -> None:
        """Let go of what a person took from us and no handler has begun, and confirm it.

        Args:
            redis: The client.
            looked: Per stream in which there is something, the number by which to confirm it.
        """
        if looked:  # seldom
            self.let_go_at = clock.now()
            await self.renew_these(redis, [held for held in self._every() if held.key[0] in looked])
            await given_up.confirm(redis, self._group, self._consumer, looked)

    async def start(self, redis: Redis, held: Held) -> bool:
        """Count a delivery that is about to begin; False when it must not."""
        now = clock.now()
        claim = renewal.Claim(*held.key, held.entry.deliveries, sure=self.sure_of(held))
        (outcome,) = await renewal.hold(redis, self._group, self._consumer, [claim], begins=True)
        self._note_outcome(held, outcome, now)
        return outcome in {"done", "dropped"}

    async def count_starts(self, redis: Redis) -> None:
        """Count at Redis the deliveries that began a while ago."""
        before = time.monotonic() - COUNTED_AFTER_SECONDS
        begun = [held for held in self._here(self._uncounted.values()) if (held.handed_at or 0.0) <= before]
        if begun:
            await self.renew_these(redis, begun, begins=True)
            for held in begun:
                if self._uncounted.get(held.key) is held:
                    if held.lost:
                        self.count_later(held)
                    del self._uncounted[held.key]

    def part_with(self, held: Held) -> None:
        """Give it up without asking Redis whether another consumer holds it."""
        self._parted[held.key] = held

    def lose(self, held: Held) -> None:
        """Stop its handler, and part with it; if its handler is done with it, a command settles it."""
        if not held.is_over:
            self.part_with(held)
        held.lose()

    async def say_parted(self, redis: Redis) -> None:
        """Release what we gave up and nobody holds: somebody may have dropped it with our consumer."""
        if not self._parted:  # as in nearly every turn
            return
        ours_again = {held.key for held in self._every() if not held.lost}
        for key in self._parted.keys() & ours_again:
            del self._parted[key]
        for some in batched(self._here(self._parted.values()), RENEWED_AT_ONCE):
            known = {held.key: held.begun for held in some}
            in_hand = {held.key: renewal.never for held in some if held.may_be_put_back}
            for held in some:
                held.is_let_go = True
            await release.release(
                *(redis, self._group, self._consumer, list(lease.by_stream(known)), known),
                everything=False,
                stays=True,
                in_hand=in_hand,
                still=self._parted.__contains__,
            )
            for held in some:
                if self._parted.get(held.key) is held:
                    del self._parted[held.key]

    def count_later(self, held: Held) -> None:
        """Count its begun deliveries at Redis later, even if we no longer hold it."""
        self._unsaid[held.key] = held

    def count_anew(self, held: Held) -> None:
        """Count a delivery again that began while `uncount` was on its way."""
        if self.delivered_events.get(held.key) is held:
            self._uncounted[held.key] = held
        else:
            self.count_later(held)

    async def say_counts(self, redis: Redis) -> None:
        """Count late deliveries at Redis, of entries that no other consumer holds by now."""
        for some in batched(self._here(self._unsaid.values()), RENEWED_AT_ONCE):
            claims = [
                renewal.Claim(*held.key, held.begun, sure=renewal.never, stage=renewal.Stage.OVER)
                for held in some
            ]
            outcomes = await renewal.hold(redis, self._group, self._consumer, claims)
            for held, outcome in zip(some, outcomes, strict=True):
                if outcome == "no_group":
                    self._on_group_gone()
                elif self._unsaid.get(held.key) is held:
                    del self._unsaid[held.key]

    def _with_all_counted(self, entry: lease.Leased) -> lease.Leased:
        """The entry, with our own count of its deliveries if Redis does not have it yet."""
        known = self._unsaid.get((entry.stream, entry.id))
        return entry if known is None else self._counted_at_least(entry, known)

    @staticmethod
    def _counted_at_least(entry: lease.Leased, known: Held) -> lease.Leased:
        return entry._replace(deliveries=max(entry.deliveries, known.begun + 1), again=True)

    def set_aside(self, streams: Collection[str]) -> None:
        """Keep the prefetched events of streams that are away out of the buffer."""
        for held in [held for held in self.buffer if held.entry.stream in streams]:
            self.buffer.remove(held)
            self._aside.append(held)

    def take_back(self, streams: Collection[str]) -> None:
        """Put them back; before one is delivered, Redis is asked whose it is, since its lease is old."""
        back = [held for held in self._aside if held.entry.stream in streams]
        self._aside = [held for held in self._aside if held not in back]
        for held in back:
            self.buffer.append(held)

    def known(self, stream: str) -> set[tuple[str, str]]:
        """Stream and id of the stream's events in flight, finished or not."""
        in_flight = {held.key for held in (*self._every(), *self._letting_go.values())} | self._starting
        return {key for key in in_flight if key[0] == stream}

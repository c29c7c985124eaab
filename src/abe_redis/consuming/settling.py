"""Settles events: acks, releases or buries them, and tries again while Redis does not answer."""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client import failures
from abe_redis.consuming.held import Held
from abe_redis.events.log_fields import of
from abe_redis.runtime import clock, plurals
from abe_redis.settings import Settings
from abe_redis.streams import acks, dead, release, renewal, slots

_LOG = logging.getLogger(__name__)


def may_work_later(error: BaseException) -> bool:
    """Whether a failed command is worth another try: Redis did not refuse it for good."""
    refused = isinstance(error, failures.FAILURES) and not failures.passes_for_who_was_let_in(error)
    return not refused or group_is_gone(error)


def group_is_gone(error: BaseException) -> bool:
    """Whether the group does not exist; a member of it makes it again."""
    return isinstance(error, ResponseError) and str(error).startswith("NOGROUP")


class Settling:
    """The events of one consumer that wait for their ack, their burial or their return."""

    def __init__(
        self, settings: Settings, group: str, consumer: str, on_group_gone: Callable[[], None]
    ) -> None:
        self.on_buried: Callable[[Held], None] = lambda _: None
        """Called when an event is buried after a delay, or can never be buried."""
        self.on_postponed: Callable[[Held, float], None] = lambda _, __: None
        """Called when Redis has postponed an event, with the delay in seconds."""
        self.active: set[str] = set()
        """Streams in which something was finished or postponed since this was last emptied."""
        self._finished: list[Held] = []
        self._condemned: list[tuple[Held, str]] = []
        self._returning: dict[tuple[str, str], tuple[Held, float]] = {}
        """Events to release again because Redis did not answer, each with the time at which it is due."""
        self._letting_go: dict[tuple[str, str], Held] = {}
        """Events that are being released or buried now."""
        self.away: Collection[str] = ()
        """Streams whose node is away, so that nothing of them can be settled at present."""
        self._on_group_gone = on_group_gone
        self._settings = settings
        self._group = group
        self._consumer = consumer

    @property
    def has_finished(self) -> bool:
        """Whether an event is finished and not acked yet, or waits for its burial."""
        return bool(self._finished or self._condemned)

    def _keys_to_settle(self) -> set[tuple[str, str]]:
        settling = (*self._finished, *(held for held, _ in self._condemned))
        return {held.key for held in settling} | self._returning.keys() | self._letting_go.keys()

    def is_settling(self, stream: str) -> bool:
        """Whether an event of a stream is finished and not acked yet, or waits for its burial."""
        unsettled = (*self._finished, *(held for held, _ in self._condemned))
        return any(held.key[0] == stream for held in unsettled)

    async def ack(self, redis: Redis) -> None:
        """Ack finished events; one whose ack fails is acked the next time."""
        acked = self._here(self._finished)
        if len(acked) < len(self._finished):
            for held in self._finished:
                held.is_late = held.is_late or held.key[0] in self.away
        if not acked:
            return
        per_stream: dict[str, list[Held]] = {}
        for held in acked:
            per_stream.setdefault(held.key[0], []).append(held)

        async def run(streams: Sequence[str]) -> None:
            await self._ack_some(redis, [held for stream in streams for held in per_stream[stream]])

        # Each slot by itself, since what one node has acked is acked, whatever another one answers.
        await slots.each(slots.by_slot(redis, list(per_stream)), run)

    async def _ack_some(self, redis: Redis, acked: Sequence[Held]) -> None:
        entries = [held.key for held in acked]
        try:
            outcomes = await acks.ack(redis, self._group, self._consumer, entries, exact=False)
        except BaseException:
            for held in acked:
                held.is_late = True
            raise
        self.active.update({stream for stream, _ in entries})
        settled, kept, lost = set(acked), False, list[Held]()
        others = [(held, one) for held, one in zip(acked, outcomes, strict=True) if one != "done"]
        for held, outcome in others:
            if outcome == "no_group":
                settled.discard(held)
                kept = True
            elif outcome == "not_held" or (outcome == "unknown" and self._is_taken(held)):
                lost.append(held)
        self._tell_of_losses(lost)
        self._finished = [held for held in self._finished if held not in settled]
        if kept:
            self._on_group_gone()

    def _is_taken(self, held: Held) -> bool:
        """Whether an event that is no longer pending was another consumer's: our own ack may have come."""
        return self._lease_is_over(held) and not held.is_late

    def _here(self, every: Iterable[Held]) -> list[Held]:
        """Those events whose node is not away."""
        if not self.away:  # as nearly always
            return list(every)
        return [held for held in every if held.key[0] not in self.away]

    def _tell_of_losses(self, lost: Iterable[Held]) -> None:
        """Say once per stream and cause which finished events other consumers were given."""
        causes: dict[tuple[str, str], list[str]] = {}
        for held in lost:
            causes.setdefault((held.entry.stream, self._cause_of_loss(held)), []).append(held.entry.id)
        for (stream, cause), ids in causes.items():
            more = f" So it is with {plurals.count(len(ids) - 1, 'more event')}." if len(ids) > 1 else ""
            extra = of(stream, ids[0], self._group)
            _LOG.warning("Event %s of %r %s%s", ids[0], stream, cause, more, extra=extra)

    def _cause_of_loss(self, held: Held) -> str:
        if held.is_late:
            return (
                "was finished, but Redis could not be told in time, and gave it to another consumer after "
                "its lease: it may be handled twice."
            )
        if self._lease_is_over(held):
            return "was finished when its lease was over: by then, it was given to another consumer."
        return (
            "was given to another consumer although its lease was not over, and may be handled twice: "
            "somebody moved it by hand, a failover lost the latest writes, or ordered and unordered workers "
            f"run side by side in group {self._group!r}."
        )

    def _lease_is_over(self, held: Held) -> bool:
        return clock.now() >= held.leased_at + self._settings.redis_stream_lease_seconds

    async def bury(self, redis: Redis) -> None:
        """Move the events that cannot be handled to the dead letters.

        Raises:
            redis.RedisError: The server could not be reached.
        """
        while condemned := [one for one in self._condemned if one[0].key[0] not in self.away]:
            for one in condemned:
                if not await self._bury_one(redis, *one):
                    return
                self._condemned.remove(one)
                self.on_buried(one[0])

    async def _bury_one(self, redis: Redis, held: Held, reason: str) -> bool:
        """Bury one, unless Redis refuses it for good; False if there is no such group at present."""
        stream, entry_id = held.key
        in_hand, held.is_let_go = held.may_be_put_back, True
        try:
            buried = await self.move_to_dead_letters(redis, held, reason, in_hand=in_hand)
        except failures.FAILURES as error:
            if group_is_gone(error):
                self._on_group_gone()
                return False
            if failures.passes_for_who_was_let_in(error):
                raise
            said = failures.explain(error, self._settings, doing=f"burying {entry_id} of {stream!r}")
            _LOG.error("%s The entry stays pending.", said, extra=of(stream, entry_id, self._group))
        else:
            if buried:
                extra = of(stream, entry_id, self._group)
                _LOG.warning("Buried entry %s of %r: %s.", entry_id, stream, reason, extra=extra)
                self.active.add(stream)
        return True

    def nack_later(self, held: Held, due_at: float) -> None:
        """Release it later, because Redis did not answer now.

        The first command may have released it: then another consumer may hold it, or may have finished it.
        """
        held.is_let_go = True
        self._returning[held.key] = (held, due_at)

    def bury_later(self, held: Held, reason: str) -> None:
        """Bury it later, because Redis did not answer now."""
        held.is_let_go = True
        self._condemned.append((held, reason))

    def is_condemned(self, held: Held) -> bool:
        """Whether it waits for its burial."""
        return any(one is held for one, _ in self._condemned)

    async def return_late(self, redis: Redis) -> None:
        """Release what could not be released in time, with the rest of its delay."""
        for key, (held, due_at) in list(self._returning.items()):
            if key[0] in self.away:
                continue
            try:
                await self.postpone(redis, held, max(0.0, due_at - clock.now()))
            except failures.FAILURES as error:
                if not group_is_gone(error):
                    raise
                self._on_group_gone()
                return
            del self._returning[key]

    async def postpone(self, redis: Redis, held: Held, delay_seconds: float) -> bool:
        """Release an event that a handler has begun; False when we no longer held it, or it is deleted."""
        outcome = await release.postpone(
            redis,
            held.key[0],
            self._group,
            self._consumer,
            held.key[1],
            delay_seconds=delay_seconds,
            counted=not held.is_spared,
            begun=held.begun,
            sure=self.sure_of(held) if held.may_be_put_back else renewal.never,
            in_hand=held.may_be_put_back,
            hold=self._name_of(held),
            reason=held.reason,
        )
        if outcome != "done":
            return False
        self.active.add(held.key[0])
        self.on_postponed(held, delay_seconds)
        return True

    async def move_to_dead_letters(self, redis: Redis, held: Held, reason: str, *, in_hand: bool) -> bool:
        """Bury it; False when we no longer held it, or it is deleted."""
        stream, entry_id = held.key
        outcome = await dead.bury(
            *(redis, stream, self._group, self._consumer, entry_id, reason, held.detail),
            begun=held.begun,
            sure=self.sure_of(held),
            in_hand=in_hand,
            hold=self._name_of(held),
        )
        return outcome == "done"

    def _name_of(self, held: Held) -> str:
        """The name of this hold of the event, which is not the name of another one of the same event."""
        return f"{held.handed_at or held.entry.asked_at:.6f} {self._consumer}"

    def sure_of(self, held: Held) -> renewal.Sure:
        """Tells, whenever it is asked, whether an event's lease certainly lasts."""
        return partial(self.is_sure, held)

    def is_sure(self, held: Held) -> bool:
        """Whether its lease certainly lasts, as far as this process can know."""
        if held.is_given_up:
            return False
        is_young = clock.now() < held.leased_at + self._settings.redis_stream_lease_seconds
        return is_young and held.leased_at >= clock.doubted_at()

"""The unfinished entries of a stream that are not here: those of its previous owner, and unconfirmed ones."""

import math
from collections.abc import Awaitable, Callable, Collection, Container, Sequence

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client import failures
from abe_redis.consuming.discovery import say_lost
from abe_redis.consuming.held import Held
from abe_redis.consuming.in_flight import InFlight
from abe_redis.consuming.ordered.conversation_queues import ConversationQueues
from abe_redis.consuming.ordered.owned_stream import OwnedStream, State
from abe_redis.consuming.ordered.ownership import Ownership
from abe_redis.runtime import clock
from abe_redis.streams import clock_steps, owners, slots
from abe_redis.streams.lease import Leased

_MOST_OWNERS_DIED = 2
"""Deliveries after which an entry is possibly poison: it was taken over before, and that owner died, too."""

_AT_ONCE = 16
"""Streams that are loaded at the same time."""


class Takeover:
    """Takes over the unfinished entries of its consumer's streams that the consumer does not know."""

    def __init__(
        self,
        ownership: Ownership,
        queues: ConversationQueues,
        in_flight: InFlight,
        accept: Callable[[list[Leased]], list[Held]],
    ) -> None:
        """Take nothing over yet.

        Args:
            ownership: The streams of the consumer.
            queues: Where its entries wait.
            in_flight: The entries that it knows already.
            accept: Takes in leased entries; returns those that can be handled.
        """
        self._ownership = ownership
        self._queues = queues
        self._in_flight = in_flight
        self._accept = accept
        self._looked_at: dict[str, float] = {}
        """When each stream was last searched for abandoned entries."""

    async def load_claimed(self, redis: Redis, *, until: float) -> None:
        """Take over all unfinished entries of claimed streams, so that they are ready.

        Args:
            redis: The client.
            until: The time, by `clock.now`, from which no more streams are begun: leases must be renewed. The
                next call continues.
        """
        owner = self._ownership.owner
        claimed = self._ownership.here(State.CLAIMED)
        if claimed:  # what is postponed is taken over with the delay that it still has
            await clock_steps.mend(redis, owner.group, list(claimed), lease_seconds=owner.lease_seconds)

        async def load(stream: str, owned: OwnedStream) -> bool:
            owned.rest = await self._load(
                redis, stream, owned, after=owned.last, everybody=not owned.last, rest=owned.rest
            )
            return not owned.rest

        await self._each(claimed, load, until)

    async def load_released(self, redis: Redis, streams: Collection[str], *, until: float) -> None:
        """Take back, with its delay, what a person has released from us; its conversation waits for that.

        Args:
            redis: The client.
            streams: Where a person took something from us.
            until: As for `load_claimed`.
        """
        if not (ready := [stream for stream in self._ownership.here(State.READY) if stream in streams]):
            return
        for stream in ready:
            self._queues.stop(stream)
        try:
            self._queues.remove_lost()
            await self.load_abandoned(redis, until=until, streams=ready)
        finally:
            for stream in ready:
                self._queues.resume(stream)

    async def load_lost(self, redis: Redis, *, until: float) -> None:
        """Remove the waiting entries that are not ours any more; take back what a person released of them."""
        await self.load_released(
            redis, {held.entry.stream for held in self._queues if held.lost}, until=until
        )
        self._queues.remove_lost()

    async def load_abandoned(
        self, redis: Redis, *, until: float, streams: Container[str] | None = None
    ) -> None:
        """Take over the entries of the other streams that nobody has renewed for a lease.

        Args:
            redis: The client.
            until: As for `load_claimed`; the next call begins with the streams that are left out.
            streams: Look at these alone.
        """
        idle_seconds = self._ownership.owner.lease_seconds
        ours = self._ownership.here(State.READY, State.REVOKING)
        self._looked_at = {stream: at for stream, at in self._looked_at.items() if stream in ours}

        rests = dict[str, owners.Rest | None]()

        async def load(stream: str, owned: OwnedStream) -> bool:
            rests[stream] = await self._load(
                *(redis, stream, owned),
                idle_seconds=idle_seconds,
                rest=rests.get(stream),
            )
            self._looked_at[stream] = clock.now()
            return not rests[stream]

        chosen = [stream for stream in ours if streams is None or stream in streams]
        in_turn = sorted(chosen, key=lambda stream: self._looked_at.get(stream, -math.inf))
        await self._each({stream: ours[stream] for stream in in_turn}, load, until)

    @staticmethod
    async def _each(
        streams: dict[str, OwnedStream], load: Callable[[str, OwnedStream], Awaitable[bool]], until: float
    ) -> None:
        """Load streams, some at a time, since each costs a round trip; at least the first of them.

        Args:
            streams: The streams.
            load: Loads some entries of one; tells whether these were the last.
            until: The time, by `clock.now`, from which no more is loaded.
        """
        waiting = list(streams)
        while waiting:
            some, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            finished = set[str]()

            async def load_one(one: Sequence[str], finished: set[str] = finished) -> None:
                if await load(one[0], streams[one[0]]):
                    finished.add(one[0])

            await slots.each([[stream] for stream in some], load_one)
            if clock.now() >= until:
                break
            waiting += [stream for stream in some if stream not in finished]

    async def _load(
        self,
        redis: Redis,
        stream: str,
        owned: OwnedStream,
        *,
        after: str = "",
        idle_seconds: float = 0,
        everybody: bool = False,
        rest: owners.Rest | None = None,
    ) -> owners.Rest | None:
        """Take over some entries of a stream; where the next call goes on, None if there is no more."""
        owner = self._ownership.owner
        known = self._in_flight.known(stream)
        try:
            loaded = await owners.load(
                *(redis, owner, stream),
                after=after,
                idle_seconds=idle_seconds,
                everybody=everybody,
                rest=rest,
            )
        except ResponseError as error:
            if owned.state is State.REVOKING and failures.stream_is_gone(error):
                return None  # nothing is left to take over, and it is released as any other
            raise
        if self._ownership.streams.get(stream) is not owned:  # lost while we asked
            return None
        if loaded is None:
            self._ownership.lose(stream)
            return None
        say_lost(stream, owner.group, loaded.lost)
        known |= self._in_flight.known(stream)  # entries finished meanwhile are known, too
        self._take_in([one for one in loaded.entries if one[0][:2] not in known])
        if not loaded.rest:
            owned.loaded(loaded.last)
        return loaded.rest

    def _take_in(self, entries: Sequence[tuple[Leased, float]]) -> None:
        waits = {(entry.stream, entry.id): seconds for entry, seconds in entries}
        for held in self._accept([entry for entry, _ in entries]):
            if seconds := waits[held.key]:
                self._queues.postpone(held, clock.now() + seconds)
            if held.entry.deliveries > _MOST_OWNERS_DIED:
                self._queues.isolate(held)

"""The leases of agents: renewed while an agent makes calls, given back when it has stopped."""

import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.errors import AbeRedisError
from abe_redis.runtime import clock
from abe_redis.streams import hold_times, lease, release, renewal, slots

_LOG = logging.getLogger(__name__)

QUIET_SECONDS = 600.0
"""Time for which an agent keeps its leases after its last call."""

_GIVE_BACK_SECONDS = 2.0


class Kept(NamedTuple):
    """An entry that is kept for a consumer."""

    group: str
    consumer: str
    stream: str
    id: str
    deliveries: int
    held_seconds: float
    """Seconds since it was leased."""
    call: int
    """The number of the call that leased it."""


class Rest(NamedTuple):
    """The rest of the delay that an entry was leased out of.

    Released, it waits for that, for the same reason: looking at an event hastens nothing.
    """

    seconds: float = 0.0
    because: str = ""

    def reason(self, consumer: str) -> str:
        """Why the entry waits on; if that is not known, who gave it back."""
        return self.because or f"{consumer} gave it back; it was postponed before"


class _Kept(NamedTuple):
    """An entry whose lease is kept."""

    deliveries: int
    since: float
    """When, by `clock.now`, it was leased."""
    call: int
    due: float
    """Until when, by `clock.now`, it was postponed when it was leased."""
    because: str
    """Why."""

    @property
    def rest(self) -> "Rest":
        """The rest of its delay."""
        return Rest(max(0.0, self.due - clock.now()), self.because)


type Leases = Mapping[tuple[str, str], _Kept]
"""Leases of one consumer in a group, by stream and id."""


class AgentLeases:
    """The leases of all callers of one server."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        lease_seconds: float,
        *,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._open = connections
        self._lease_seconds = lease_seconds
        self._quiet_seconds = quiet_seconds
        self._held: dict[tuple[str, str], dict[tuple[str, str], _Kept]] = {}
        """Per group and consumer: the stream and id of each held entry, with its facts."""
        self._last_call = clock.now()
        self._gone = anyio.Event()
        self._reads = Counter[tuple[str, str, str]]()
        """How many reads go on, by stream, group and consumer."""
        self._giving_back = anyio.Lock()
        self._calls = 0
        """How many calls have leased events here, or tried to."""

    def touch(self) -> None:
        """Note that the agent made a call."""
        self._last_call = clock.now()

    def held(self, consumer: str) -> list[tuple[str, str]]:
        """Stream and id of the entries kept for a consumer, in all its groups."""
        return [key for (_, name), entries in self._held.items() if name == consumer for key in entries]

    def every(self, consumer: str | None = None) -> list["Kept"]:
        """Every entry that is kept here, or for one consumer, by group, consumer, stream and id."""
        now = clock.now()
        return sorted(
            Kept(group, name, stream, entry_id, kept.deliveries, now - kept.since, kept.call)
            for (group, name), entries in self._held.items()
            for (stream, entry_id), kept in entries.items()
            if consumer in {None, name}
        )

    def count(self, stream: str, group: str, consumer: str) -> int:
        """Number of entries of a stream that are kept for a consumer."""
        return sum(one == stream for one, _ in self._held.get((group, consumer), ()))

    def leave(self) -> None:
        """Note that the agent has gone; `run` then gives everything back at once."""
        self._last_call = -math.inf
        self._gone.set()

    def holds(self, stream: str, group: str, consumer: str, entry_id: str) -> bool:
        """Whether the lease of an entry was taken here and is kept."""
        return (stream, entry_id) in self._held.get((group, consumer), {})

    def hold(
        self,
        stream: str,
        group: str,
        consumer: str,
        entry_id: str,
        deliveries: int,
        *,
        call: int,
        rest: Rest,
    ) -> None:
        """Keep an entry's lease from now on."""
        now = clock.now()
        kept = _Kept(deliveries, now, call, now + rest.seconds, rest.because)
        self._held.setdefault((group, consumer), {})[stream, entry_id] = kept

    def rest(self, stream: str, group: str, consumer: str, entry_id: str) -> Rest:
        """The rest of the delay that an entry was leased out of."""
        kept = self._held.get((group, consumer), {}).get((stream, entry_id))
        return Rest() if kept is None else kept.rest

    def kept(self, stream: str, group: str, consumer: str, ids: Sequence[str]) -> Leases:
        """Those leases of these entries that are kept now."""
        entries = self._held.get((group, consumer), {})
        return {key: entries[key] for one in ids if (key := (stream, one)) in entries}

    def forget(self, group: str, consumer: str, leases: Leases, *, but: Container[str] = ()) -> None:
        """Stop keeping these leases, but for some ids; a newer lease of the same entry stays."""
        entries = self._held.get((group, consumer), {})
        for key, known in leases.items():
            if key[1] not in but and entries.get(key) is known:
                del entries[key]

    async def run(self) -> None:
        """Renew until no call has come for the keep time, and then give everything back."""
        while True:
            with anyio.move_on_after(min(self._lease_seconds, self._quiet_seconds) / 3):
                await self._gone.wait()
            self._gone = anyio.Event()
            try:
                if not self._is_quiet():
                    await self._renew()
                    continue
                await self.give_back()
            except (*failures.FAILURES, AbeRedisError, TimeoutError) as error:
                _LOG.warning("Leases could not be renewed (%s); trying again.", type(error).__name__)
            else:
                if self._is_quiet():  # check again: a call may have come meanwhile
                    return

    def _is_quiet(self) -> bool:
        return clock.now() - self._last_call > self._quiet_seconds

    async def _renew(self) -> None:
        """Renew all leases, in each place by itself, since a stream may be away, or refused to us."""
        redis = (await self._open()).commands

        async def renew(place: Sequence[str]) -> None:
            group, consumer, stream = place
            asked = self._of(group, consumer, stream)
            with anyio.fail_after(self._lease_seconds / 3):  # or a server that hangs delays the next turn
                lost = await renewal.renew(redis, group, consumer, list(asked))
                self.forget(group, consumer, {key: asked[key] for key in lost})
                await self._note(redis, group, consumer, stream)

        await slots.each(self._places(), renew)

    def _places(self) -> list[tuple[str, str, str]]:
        """Group, consumer and stream of all leases."""
        return [
            (*whose, stream) for whose, entries in self._held.items() for stream in lease.by_stream(entries)
        ]

    def _of(self, group: str, consumer: str, stream: str) -> dict[tuple[str, str], _Kept]:
        """The leases in one place."""
        entries = self._held.get((group, consumer), {})
        return {key: kept for key, kept in entries.items() if key[0] == stream}

    async def _note(self, redis: Redis, group: str, consumer: str, stream: str) -> None:
        """Record since when a consumer holds its entries; without that right, it keeps them all the same."""
        now, entries = clock.now(), self._of(group, consumer, stream)
        said = [hold_times.Held(*key, kept.deliveries, now - kept.since) for key, kept in entries.items()]
        with suppress(ResponseError):
            await hold_times.note(redis, group, consumer, [stream], said)

    async def give_back(self) -> None:
        """Give back everything, without counting the deliveries.

        Raises:
            AbeRedisError: The connections cannot be opened.
            failures.FAILURES: Some could not be given back; they are kept.
        """

        async def give(place: Sequence[str]) -> None:
            group, consumer, stream = place
            redis, given = (await self._open()).commands, self._of(group, consumer, stream)
            known = await _back(redis, group, consumer, given)
            await release.release(redis, group, consumer, [stream], known, everything=False)
            self.forget(group, consumer, given)

        await slots.each(self._places(), give)
        for whose in [whose for whose, entries in self._held.items() if not entries]:
            del self._held[whose]

    @asynccontextmanager
    async def returning_unseen(
        self, stream: str, group: str, consumer: str, *, own_name: bool
    ) -> AsyncIterator["AgentRead"]:
        """Give back the entries that a read leases, if the block fails or is cancelled before its answer.

        If the name is ours alone (`own_name`), this includes entries that Redis leased and whose answer was
        lost; but not while other reads of the same consumer go on, since theirs look the same. Then these
        leases expire.

        Yields:
            The object that collects the entries of the read.
        """
        self._calls += 1
        taken, place = AgentRead(self, stream, group, consumer, self._calls), (stream, group, consumer)
        async with self._giving_back:  # what is leased from now on is not what an earlier read has left
            self._reads[place] += 1
        try:
            yield taken
        except BaseException:
            with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
                async with self._giving_back:
                    await self._give_back_unseen(taken, own_name=own_name and self._reads[place] == 1)
            raise
        finally:
            self._reads -= Counter([place])

    async def take_back(
        self, stream: str, group: str, consumer: str, ids: Sequence[str], *, call: int
    ) -> None:
        """Release entries of a call that the agent has not seen, without counting the delivery."""
        taken = AgentRead(self, stream, group, consumer, call, [*ids])
        with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
            async with self._giving_back:
                await self._give_back_unseen(taken, own_name=False)

    async def _give_back_unseen(self, taken: "AgentRead", *, own_name: bool) -> None:
        those = self.kept(taken.stream, taken.group, taken.consumer, taken.ids)
        back = {key: one for key, one in those.items() if one.call == taken.call}
        self.forget(taken.group, taken.consumer, back)
        kept = self._held.get((taken.group, taken.consumer), {})
        if not (back or own_name):
            return
        try:
            redis = (await self._open()).commands
            known = await _back(redis, taken.group, taken.consumer, back) | dict.fromkeys(kept, release.KEEP)
            await release.release(
                redis, taken.group, taken.consumer, [taken.stream], known, everything=own_name
            )
        except (*failures.FAILURES, AbeRedisError) as error:
            _LOG.warning("Unseen leases could not be released, and will expire: %s.", type(error).__name__)


async def _back(
    redis: Redis, group: str, consumer: str, entries: Mapping[tuple[str, str], _Kept]
) -> dict[tuple[str, str], int]:
    """Postpone entries for the rest of their delay; return the others with the deliveries they shall have."""
    others = dict[tuple[str, str], int]()
    for (stream, entry_id), kept in entries.items():
        if (rest := kept.rest).seconds > 0:
            await release.postpone(
                *(redis, stream, group, consumer, entry_id),
                delay_seconds=rest.seconds,
                counted=False,
                own=True,
                reason=rest.reason(consumer),
            )
        else:
            others[stream, entry_id] = kept.deliveries - 1
    return others


@dataclass(slots=True)
class AgentRead:
    """The entries that a read leases, until its answer is sent."""

    agent_leases: AgentLeases
    stream: str
    group: str
    consumer: str
    call: int = 0
    """The number of the call that reads."""
    ids: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    """Entries that no consumer can handle."""
    perhaps_buried: list[str] = field(default_factory=list)
    """One whose burial has no answer (yet)."""

    def hold(self, entry_id: str, deliveries: int, rest: Rest) -> None:
        """Keep an entry's lease from now on."""
        self.ids.append(entry_id)
        self.agent_leases.hold(
            *(self.stream, self.group, self.consumer, entry_id, deliveries), call=self.call, rest=rest
        )

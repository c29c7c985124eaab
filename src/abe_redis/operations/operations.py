"""The operations of a person or an agent on the queue: publish, read, ack, stats and more.

The command line and the MCP server both call them, so a command and a tool of the same name can never
disagree.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from typing import Unpack

from abe_redis.errors import (
    AbeRedisError,
    OutboxError,
    RedisUnavailableError,
)
from abe_redis.operations import causes
from abe_redis.operations.changing import told_of_part
from abe_redis.operations.checks import check_range
from abe_redis.operations.dead_letter_choice import AskedLetters, Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.filters import Asked
from abe_redis.operations.places import Place, joined, places
from abe_redis.operations.publishing import Publishing
from abe_redis.operations.settlement import Concerned, Settlement
from abe_redis.runtime import plurals
from abe_redis.runtime.arguments import check_text, each
from abe_redis.schemas import (
    AckResult,
    DeadLetter,
    OutboxStats,
    ReadResult,
    RedriveResult,
    ReleaseResult,
    ServerMemory,
    StatsResult,
    StreamStats,
)


class Operations(Publishing):
    """The queue's operations, on the streams that `REDIS_STREAM_PATTERNS` names.

    Every method raises:
        RequestError: The request cannot be carried out; the message says what is possible.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
        InvalidNameError: A name is not allowed.
    """

    @cached_property
    def _settlement(self) -> Settlement:
        return Settlement(self._scope, self.agent_leases, self.consumer, by_name=self._origin != "mcp")

    async def take_back(
        self, leased: ReadResult, *, group: str, ids: Sequence[str], consumer: str | None
    ) -> None:
        """Give back leased events that could not be shown, without counting the delivery.

        What was settled since, and what another call has leased anew, stays as it is.

        Args:
            leased: The result of the lease.
            group: The group they were leased in.
            ids: Which of the events.
            consumer: As for `read_stream`.
        """
        await self.agent_leases.take_back(leased.stream, group, self.holder(consumer), ids, call=leased.call)

    async def ack(
        self,
        *,
        stream: str | None = None,
        group: str | None = None,
        ids: Sequence[str] | None = None,
        consumer: str | None = None,
        force: bool = False,
    ) -> AckResult:
        """Ack events that the consumer holds.

        Args:
            stream: Where they are; it, the group and the ids may be left out for all that was leased here.
                An agent must name what several calls have leased: it may not have seen the answer of one.
            group: The group they were leased in.
            ids: 1 to 100 entry ids.
            consumer: The consumer that leased them; by default our own name.
            force: Also ack what nobody holds, as it was given back or postponed; not for an agent.
        """
        self.agent_leases.touch()
        results = list[AckResult]()
        with told_of_part(lambda: [one for result in results for one in result.acked]):
            for place in self._places(stream, group, ids, consumer):
                results.append(
                    await self._settlement.ack(self._scope.allowed(place.stream), place, force=force)
                )
        return joined(results)

    async def release(
        self,
        *,
        stream: str | None = None,
        group: str | None = None,
        ids: Sequence[str] | None = None,
        consumer: str | None = None,
        delay_seconds: float = 0,
        bury: str | None = None,
        reason: str | None = None,
        force: bool = False,
    ) -> ReleaseResult:
        """Give leased events back unfinished, or bury them.

        A delivery that is given back does not count.

        Args:
            stream: Where they are; it, the group and the ids may be left out for all that was leased here;
                as for `ack`, if they are postponed or buried.
            group: The group they were leased in.
            ids: 1 to 100 entry ids.
            consumer: The consumer that leased them; by default our own name.
            delay_seconds: Seconds until they are delivered again; at most 7 days.
            bury: A reason; with it, they move to the dead letters instead of back to other consumers.
            reason: Why they are given back, for the audit; while they are postponed, it stands beside them.
            force: Also postpone what nobody holds: given back, or left by its holder; not for an agent.
        """
        self.agent_leases.touch()
        check_range("delay_seconds", delay_seconds, 0, self._scope.limits.max_delay_seconds)
        if (why := reason if bury is None else bury) is not None:
            check_text("The reason", why)
        results = list[ReleaseResult]()
        returns_at_once = bury is None and not delay_seconds
        with told_of_part(lambda: [one for done in results for one in [*done.released, *done.buried]]):
            for place in self._places(stream, group, ids, consumer, unseen_too=returns_at_once):
                name = self._scope.consumable(place.stream)
                results.append(
                    await self._settlement.release(
                        name, place, delay_seconds=delay_seconds, bury=bury, reason=reason, force=force
                    )
                )
        return joined(results)

    def _places(
        self,
        stream: str | None,
        group: str | None,
        ids: Sequence[str] | None,
        consumer: str | None,
        *,
        unseen_too: bool = False,
    ) -> list[Place]:
        """The places of the events to settle; without ids, of those that the caller must have seen."""
        ids = None if ids is None else each("ids", ids, members="ids")
        if stream is not None and group is not None and ids is not None:
            return [Place(stream, group, self.holder(consumer), consumer, ids)]
        kept = self.agent_leases.every(None if consumer is None else self.holder(consumer))
        of_one_call = self._origin == "mcp" and not unseen_too
        return places(kept, self.consumer, stream=stream, group=group, ids=ids, of_one_call=of_one_call)

    async def concerned(
        self,
        *,
        stream: str | None = None,
        group: str | None = None,
        ids: Sequence[str] | None = None,
        consumer: str | None = None,
        delay_seconds: float = 0,
    ) -> list[Concerned]:
        """Who would be affected if these events were settled; changes nothing.

        Args:
            stream: As for `release`, like all that follows.
            group: The group.
            ids: The events.
            consumer: The consumer that leased them.
            delay_seconds: The delay until their next delivery.
        """
        self._scope.limits.afford()
        check_range("delay_seconds", delay_seconds, 0, self._scope.limits.max_delay_seconds)
        return [
            await self._settlement.concerned(
                self._scope.allowed(place.stream), place.group, place.ids, place.consumer
            )
            for place in self._places(stream, group, ids, consumer)
        ]

    async def redrive(
        self,
        *,
        stream: str | None = None,
        dry_run: bool = True,
        events: Asked | None = None,
        **asked: Unpack[AskedLetters],
    ) -> RedriveResult:
        """Send dead letters back to work.

        Args:
            stream: The stream they came from; by default the host's topic.
            dry_run: Change nothing, and return what would be done.
            events: Only dead letters of these events.
            asked: Which; by default all of them.
        """
        self.agent_leases.touch()
        name, events = self._scope.consumable(stream), events or {}
        choice = Choice.of(is_filtered=any(events.values()), **asked)
        return await DeadLetters(self._scope).redrive(name, choice, dry_run=dry_run, **events)

    async def redrivable(
        self, *, stream: str | None = None, events: Asked | None = None, **asked: Unpack[AskedLetters]
    ) -> tuple[str, list[DeadLetter]]:
        """The stream, and the dead letters that a redrive with the same arguments would deliver again."""
        name, events = self._scope.consumable(stream), events or {}
        choice = Choice.of(is_filtered=any(events.values()), **asked)
        return name, await DeadLetters(self._scope).concerned(name, choice, **events)

    async def stream_stats(
        self, *, stream: str | None = None, ages: bool = False, parts_too: bool = False
    ) -> StatsResult:
        """The health of one stream, or of all, the problems of the server, and the events in the outbox.

        Args:
            stream: Only this one.
            ages: Also read the age of each pending entry, as always for a single stream.
            parts_too: With the partitions of its topic.
        """
        self.agent_leases.touch()
        try:
            outbox = await self.outbox()
        except OutboxError as error:
            outbox = OutboxStats(waiting=0, refused=0, trouble=str(error))
        try:
            streams = await self.glance(stream=stream, ages=ages or stream is not None, parts_too=parts_too)
        except RedisUnavailableError as error:
            if outbox is None:
                raise
            kept = outbox.trouble or f"The outbox keeps {plurals.count(outbox.waiting, 'event')} until then."
            raise RedisUnavailableError(f"{error} {kept}") from None
        memory, problems = list[ServerMemory](), list[str]()
        with suppress(AbeRedisError):  # more than what was asked for
            memory = await self.memory()
            problems = await causes.find(self._scope, streams, memory)
        return StatsResult(
            streams=streams,
            problems=problems,
            memory=memory,
            health=dict(Counter(one.health for one in streams)),
            outbox=outbox,
        )

    async def glance(
        self, *, stream: str | None = None, ages: bool = False, parts_too: bool = False
    ) -> list[StreamStats]:
        """As `stream_stats`, but it does not count as a call of an agent.

        Args:
            stream: Only this one.
            ages: Also read the age of each pending entry.
            parts_too: As for `stream_stats`.
        """
        name = self._scope.allowed(stream) if stream is not None else None
        async with self._scope.redis("looking at the streams") as redis:
            return await self._scope.stats(redis, name, ages=ages, parts_too=parts_too)

    async def memory(self) -> list[ServerMemory]:
        """The memory of each server that has keys, if this user may see it."""
        async with self._scope.redis("looking at the server's memory") as redis:
            return await causes.memory(redis, self._scope)

    async def causes(self, streams: Sequence[StreamStats]) -> list[str]:
        """The problems of the server or of keys, each with its remedy."""
        return await causes.find(self._scope, streams, await self.memory())

    async def outbox(self) -> OutboxStats | None:
        """The events in this machine's outbox; None without an outbox."""
        if self._settings.redis_outbox is None:
            return None
        return OutboxStats(**asdict(await self._backend.outbox_size()))

"""The operations of a person or an agent on the queue: publish, read, ack, stats and more.

The command line and the MCP server both call them, so a command and a tool of the same name can never
disagree.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from abe_redis.backend import RedisMessageQueueBackend
from abe_redis.client import failures
from abe_redis.errors import RedisUnavailableError, RequestError
from abe_redis.operations import event_views
from abe_redis.operations.agent_leases import AgentLeases
from abe_redis.operations.audit import note_change
from abe_redis.operations.dead_letters import Choice, DeadLetters
from abe_redis.operations.positions import since as since_id
from abe_redis.operations.reading import Filter, Reader
from abe_redis.operations.scope import Scope, check_id, check_range
from abe_redis.operations.settlement import Settlement
from abe_redis.schemas import (
    MAX_CHARS,
    MAX_COUNT,
    MAX_EVENT_ID,
    MAX_WAIT_SECONDS,
    MIN_CHARS,
    AckResult,
    OutboxStats,
    PublishResult,
    ReadResult,
    RedriveResult,
    ReleaseResult,
    StatsResult,
    StreamStats,
)
from abe_redis.streams import names, peek
from abe_redis.streams.release import MAX_DELAY_SECONDS

_LOG = logging.getLogger(__name__)


class Operations:
    """The queue's operations, on the streams that `REDIS_STREAM_PATTERNS` names.

    Every method raises:
        RequestError: The request cannot be carried out; the message says what is possible.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
        InvalidNameError: A name is not allowed.
    """

    def __init__(
        self,
        backend: RedisMessageQueueBackend,
        *,
        origin: str | None = None,
        streams: Sequence[str] = (),
        caller: str | None = None,
    ) -> None:
        """Create the operations without I/O.

        Args:
            backend: The backend to operate on.
            origin: `mcp` for an agent, whose changes the audit records, or `cli`.
            streams: Names and patterns that restrict the streams further.
            caller: The name of one of several callers, for its leases and its changes in the audit.
        """
        self._backend = backend
        self._settings = backend.settings
        self._scope = Scope(backend, streams=streams)
        self._origin = origin
        self.consumer = "-".join(filter(None, (origin, backend.settings.consumer_name, caller)))
        """The consumer name of leases for which the caller gives none."""
        self.agent_leases = AgentLeases(backend.connections, self._settings.redis_stream_lease_seconds)
        """Renews the leases that were taken here, while its `run` runs."""
        self._settlement = Settlement(self._scope, self.agent_leases, self.consumer, by_name=origin != "mcp")

    async def publish_event(
        self, payload: dict[str, Any], *, stream: str | None = None, event_id: str | None = None
    ) -> PublishResult:
        """Add an event.

        Args:
            payload: A JSON object of at most 8 MiB.
            stream: By default the host's topic.
            event_id: At most 256 characters; a stream adds the same one only once.
        """
        self.agent_leases.touch()
        if event_id is not None and not 0 < len(event_id) <= MAX_EVENT_ID:
            raise RequestError(f"event_id has {len(event_id)} characters; give it 1 to {MAX_EVENT_ID}.")
        name = names.check_stream(self._scope.allowed(stream))
        published = await self._backend.publish_event(name, payload, event_id=event_id, origin=self._origin)
        await self._note("publish_event", stream=published.stream, ids=[published.id])
        return PublishResult(
            stream=published.stream,
            id=published.id,
            duplicate=published.duplicate,
            waiting=published.is_kept,
        )

    async def publish_many(
        self, payloads: Sequence[dict[str, Any]], *, stream: str | None = None
    ) -> list[PublishResult]:
        """Add events in order, with few round trips.

        Args:
            payloads: JSON objects of at most 8 MiB each; all are checked before the first is added.
            stream: By default the host's topic.
        """
        self.agent_leases.touch()
        name = names.check_stream(self._scope.allowed(stream))
        done = await self._backend.publish_many(name, payloads, origin=self._origin)
        await self._note("publish_many", stream=name, ids=[one.id for one in done])
        return [
            PublishResult(stream=one.stream, id=one.id, duplicate=one.duplicate, waiting=one.is_kept)
            for one in done
        ]

    async def read_stream(  # noqa: C901, PLR0912 - three ways to read, one door
        self,
        *,
        stream: str | None = None,
        count: int = 10,
        group: str | None = None,
        create_group: bool = False,
        consumer: str | None = None,
        pending: bool = False,
        start: str | None = None,
        order: peek.Order = "newest",
        event_type: str | None = None,
        channel: str | None = None,
        user: str | None = None,
        since: str | None = None,
        wait_seconds: float = 0,
        max_chars: int = 20_000,
    ) -> ReadResult:
        """Look at events, lease them, or see what is leased.

        Args:
            stream: By default the host's topic.
            count: 1 to 100.
            group: Lease from this group (or, with `pending`, show what is leased in it).
            create_group: Make the group when it does not exist though the stream has others.
            consumer: Who leases; by default this one's own name. With `pending`: whose.
            pending: Show what is leased in the group, and change nothing.
            start: Begin behind this id; not for a lease, which goes on where the group is.
            order: Which end to look from; a lease is always oldest first.
            event_type: Show only events of this type; not for a lease.
            channel: Show only events in this channel; not for a lease.
            user: Show only events by this user; not for a lease.
            since: Show only what was published from this time on, as in `2h` (ago) or `2026-01-31T09:00`;
                not for a lease.
            wait_seconds: Up to 20; how long to wait when there is nothing.
            max_chars: 500 to 200,000; how many characters of payload to return at most.
        """
        self.agent_leases.touch()
        check_range("count", count, 1, MAX_COUNT)
        check_range("wait_seconds", wait_seconds, 0, MAX_WAIT_SECONDS)
        check_range("max_chars", max_chars, MIN_CHARS, MAX_CHARS)
        name = self._scope.allowed(stream)
        if start is not None:
            check_id("start", start)
        if group is not None:
            names.check_group(group)
        if consumer is not None:
            names.check_consumer(consumer)
        if (pending or create_group) and group is None:
            raise RequestError("pending and create_group need a group; name one with group.")
        async with self._scope.redis(f"reading {name!r}") as redis, AsyncExitStack() as until_answered:
            kind = await peek.kind(redis, name)
            if kind not in {"stream", "none"}:
                raise RequestError(f"{name!r} is a {kind}, not a stream. {await self._scope.choice(redis)}")
            reader = Reader(await self._backend.connections(), self._settings, self.agent_leases)
            wanted = Filter(
                event_type, channel, user, None if since is None else await since_id(redis, since)
            )
            if group is None:
                result = await reader.look(
                    name, count=count, start=start, order=order, wanted=wanted, wait_seconds=wait_seconds
                )
            elif wanted.is_given:
                raise RequestError(
                    "event_type, channel, user and since are for looking: a lease takes the group's oldest "
                    "events in order. Leave them out, or leave out group."
                )
            elif kind == "none":
                result = ReadResult(stream=name, mode="pending" if pending else "lease", events=[])
            elif pending:
                await self._scope.find_group(redis, name, group, create=None)
                result = await reader.pending(
                    name, group, count=count, start=start, consumer=consumer, own=self.consumer
                )
            elif start is not None:
                raise RequestError(
                    "A lease takes the group's oldest events in order: leave out start, or leave out group "
                    "to look without leasing."
                )
            else:
                if await self._scope.find_group(redis, name, group, create=create_group):
                    await self._note("read_stream", stream=name, created_group=group)
                await self._scope.check_not_paused(redis, name, group)
                holder = self.consumer if consumer is None else consumer
                taken = await until_answered.enter_async_context(
                    self.agent_leases.returning_unseen(name, group, holder, own_name=self._is_own(holder))
                )
                result = await reader.take(taken, count=count, wait_seconds=wait_seconds)
                await self._note(
                    "read_stream",
                    stream=name,
                    group=group,
                    consumer=consumer,
                    ids=taken.ids,
                    buried=taken.buried,
                )
            if kind == "stream":
                result.length, result.groups = await peek.brief(redis, name)
            if kind == "none" and not result.events:
                result.note = await self._scope.absence(redis, name)
            were_shortened = event_views.fit(result.events, max_chars)
        if were_shortened:
            result.note += (
                " Some payloads were shortened: call again with a smaller count or a larger max_chars."
            )
        result.note = result.note.strip()
        return result

    async def take_back(self, *, stream: str, group: str, ids: Sequence[str], consumer: str | None) -> None:
        """Give back leased events that could not be shown, without counting the delivery.

        Args:
            stream: Where they are, by the name in the read's result.
            group: The group they were leased in.
            ids: Which of the events.
            consumer: As for `read_stream`.
        """
        await self.agent_leases.take_back(stream, group, self.consumer if consumer is None else consumer, ids)

    async def ack(
        self, *, stream: str, group: str, ids: Sequence[str], consumer: str | None = None
    ) -> AckResult:
        """Ack events that the consumer holds.

        Args:
            stream: Where they are.
            group: The group they were leased in.
            ids: 1 to 100 entry ids.
            consumer: The consumer that leased them; by default our own name.
        """
        self.agent_leases.touch()
        name = self._scope.allowed(stream)
        result = await self._settlement.ack(name, group, ids, consumer)
        await self._note("ack", stream=name, group=group, consumer=consumer, ids=result.acked)
        return result

    async def release(
        self,
        *,
        stream: str,
        group: str,
        ids: Sequence[str],
        consumer: str | None = None,
        delay_seconds: float = 0,
        bury: str | None = None,
    ) -> ReleaseResult:
        """Give leased events back unfinished, or bury them.

        A delivery that is given back does not count.

        Args:
            stream: Where they are.
            group: The group they were leased in.
            ids: 1 to 100 entry ids.
            consumer: The consumer that leased them; by default our own name.
            delay_seconds: Seconds until they are delivered again; at most 7 days.
            bury: A reason; with it, they move to the dead letters instead of back to other consumers.
        """
        self.agent_leases.touch()
        name = self._scope.consumable(stream)
        check_range("delay_seconds", delay_seconds, 0, MAX_DELAY_SECONDS)
        result = await self._settlement.release(
            name, group, ids, consumer, delay_seconds=delay_seconds, bury=bury
        )
        await self._note(
            "release",
            stream=name,
            group=group,
            consumer=consumer,
            ids=result.released,
            delay_seconds=delay_seconds,
            buried=result.buried,
            reason=bury,
        )
        return result

    async def redrive(
        self,
        *,
        stream: str | None = None,
        ids: Sequence[str] = (),
        reason: str | None = None,
        event_type: str | None = None,
        dry_run: bool = True,
    ) -> RedriveResult:
        """Send dead letters back to work: those that match every given field, or all of them.

        Args:
            stream: The stream they came from; by default the host's topic.
            ids: Ids of dead letters.
            reason: Text that the reason contains.
            event_type: The type of the Slack event.
            dry_run: Change nothing, and return what would be done.
        """
        self.agent_leases.touch()
        name = self._scope.consumable(stream)
        everything = not (ids or reason or event_type)
        choice = Choice(ids=ids, everything=everything, reason=reason, event_type=event_type)
        result = await DeadLetters(self._scope).redrive(name, choice, dry_run=dry_run)
        if not dry_run:
            await self._note(
                "redrive",
                stream=name,
                ids=list(ids),
                reason=reason,
                event_type=event_type,
                redriven=result.redriven,
            )
        return result

    async def _note(self, tool: str, **facts: object) -> None:
        """Record a change of an agent in the audit, if there was one."""
        if self._origin != "mcp":
            return
        try:
            await note_change((await self._backend.connections()).commands, self.consumer, tool, facts)
        except failures.FAILURES as error:
            sentence = failures.explain(error, self._settings, doing="writing down what an agent did")
            _LOG.warning("%s It was done all the same: %s %s", sentence, tool, facts)

    async def stream_stats(self, *, stream: str | None = None, ages: bool = False) -> StatsResult:
        """The health of one stream, or of all, and the events in the outbox.

        Args:
            stream: Only this one.
            ages: Also read the age of each pending entry, as always for a single stream.
        """
        self.agent_leases.touch()
        outbox = await self.outbox()
        try:
            streams = await self.glance(stream=stream, ages=ages or stream is not None)
        except RedisUnavailableError as error:
            if outbox is None:
                raise
            raise RedisUnavailableError(
                f"{error} The outbox keeps {outbox.waiting} events until then."
            ) from None
        found = Counter(one.health for one in streams)
        return StatsResult(streams=streams, health=dict(found), outbox=outbox)

    async def glance(self, *, stream: str | None = None, ages: bool = False) -> list[StreamStats]:
        """As `stream_stats`, but it does not count as a call of an agent.

        Args:
            stream: Only this one.
            ages: Also read the age of each pending entry.
        """
        name = self._scope.allowed(stream) if stream is not None else None
        async with self._scope.redis("looking at the streams") as redis:
            return await self._scope.stats(redis, name, ages=ages)

    async def outbox(self) -> OutboxStats | None:
        """The events in this machine's outbox; None without an outbox."""
        if self._settings.redis_outbox is None:
            return None
        size = await self._backend.outbox_size()
        return OutboxStats(waiting=size.waiting, refused=size.refused)

    def _is_own(self, consumer: str) -> bool:
        """Whether the name is ours alone; another process may have the same configured name."""
        return consumer == self.consumer and self._settings.redis_stream_consumer is None

"""The three ways to read a stream by hand: peek at it, lease from it, see what is pending.

Each checks its arguments, reads, and adds the length and the groups of the stream.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError, RequestError
from abe_redis.operations import event_views, leasing, peeking
from abe_redis.operations.caller import Caller
from abe_redis.operations.positions import since as since_id
from abe_redis.operations.scope import check_id, check_range
from abe_redis.operations.slack_ids import wanted_name
from abe_redis.schemas import MAX_CHARS, MAX_COUNT, MAX_WAIT_SECONDS, MIN_CHARS, ReadResult
from abe_redis.streams import names, peek
from abe_redis.streams.peek import Order, PendingEntry


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream that is read, or the lack of one."""

    redis: Redis
    name: str
    exists: bool


class Reading(Caller):
    """What a caller may read, one stream at a time."""

    async def read_stream(
        self,
        *,
        stream: str | None = None,
        count: int = 10,
        group: str | None = None,
        create_group: bool = False,
        consumer: str | None = None,
        pending: bool = False,
        start: str | None = None,
        order: Order = "newest",
        event_type: str | None = None,
        channel: str | None = None,
        user: str | None = None,
        since: str | None = None,
        wait_seconds: float = 0,
        max_chars: int = 20_000,
    ) -> ReadResult:
        """One door to the three: with a group, `lease`, or `pending` when that is set; else `peek`.

        Args:
            stream: As there, like all that follows.
            count: How many at most.
            group: The group.
            create_group: For a lease.
            consumer: For a lease, and for what is pending.
            pending: Show what is leased in the group, and change nothing.
            start: To peek, and for what is pending; a lease goes on where the group is.
            order: To peek; a lease is always oldest first.
            event_type: To peek.
            channel: To peek.
            user: To peek.
            since: To peek.
            wait_seconds: To peek, and for a lease.
            max_chars: How many characters of payload to return at most.
        """
        if group is None:
            if pending or create_group:
                raise InvalidArgumentError("pending and create_group need a group; name one with group.")
            return await self.peek(
                stream=stream, count=count, start=start, order=order, event_type=event_type, channel=channel,
                user=user, since=since, wait_seconds=wait_seconds, max_chars=max_chars,
            )  # fmt: skip
        if event_type or channel or user or since:
            raise InvalidArgumentError(
                "event_type, channel, user and since are for looking: a lease takes the group's oldest "
                "events in order. Leave them out, or leave out group."
            )
        if pending:
            return await self.pending(
                stream=stream, group=group, count=count, start=start, consumer=consumer, max_chars=max_chars
            )
        if start is not None:
            raise InvalidArgumentError(
                "A lease takes the group's oldest events in order: leave out start, or leave out group "
                "to look without leasing."
            )
        return await self.lease(
            stream=stream, group=group, count=count, create_group=create_group, consumer=consumer,
            wait_seconds=wait_seconds, max_chars=max_chars,
        )  # fmt: skip

    async def peek(
        self,
        *,
        stream: str | None = None,
        count: int = 10,
        start: str | None = None,
        order: Order = "newest",
        event_type: str | None = None,
        channel: str | None = None,
        user: str | None = None,
        since: str | None = None,
        wait_seconds: float = 0,
        max_chars: int = 20_000,
    ) -> ReadResult:
        """Look at events, and change nothing.

        Args:
            stream: By default the host's topic.
            count: 1 to 100.
            start: Begin behind this id.
            order: Which end to look from.
            event_type: Show only events of this type.
            channel: Show only events in this channel, as in `C0LAN2Q65` or `<#C0LAN2Q65|general>`.
            user: Show only events by this user, as in `U061F7AUR` or `<@U061F7AUR>`.
            since: Show only what was published from this time on, as in `2h` (ago) or `2026-01-31T09:00`.
            wait_seconds: Up to 20; how long to wait when there is nothing.
            max_chars: 500 to 200,000; how many characters of payload to return at most.
        """
        self.agent_leases.touch()
        name = self._checked(stream, count=count, start=start, wait_seconds=wait_seconds, max_chars=max_chars)
        channel = wanted_name(channel, "channel") if channel else None
        user = wanted_name(user, "user") if user else None
        async with self._open(name) as found:
            from_id = None if since is None else await since_id(found.redis, since)
            result = await peeking.look(
                await self._backend.connections(),
                name,
                count=count,
                start=start,
                order=order,
                wanted=peeking.Filter(event_type, channel, user, from_id),
                wait_seconds=wait_seconds,
            )
            return await self._answered(result, found, max_chars)

    async def pending(
        self,
        *,
        group: str,
        stream: str | None = None,
        count: int = 10,
        start: str | None = None,
        consumer: str | None = None,
        max_chars: int = 20_000,
    ) -> ReadResult:
        """See what is leased in a group, oldest first, and change nothing.

        Args:
            group: The group.
            stream: By default the host's topic.
            count: 1 to 100.
            start: Begin behind this id.
            consumer: Only what this one holds.
            max_chars: 500 to 200,000; how many characters of payload to return at most.
        """
        self.agent_leases.touch()
        name = self._checked(stream, group, consumer, count=count, start=start, max_chars=max_chars)
        async with self._open(name) as found:
            result = ReadResult(stream=name, mode="pending", events=[])
            if found.exists:
                await self._scope.find_group(found.redis, name, group, create=None)
                result = await self._pending(found, group, count=count, start=start, consumer=consumer)
            return await self._answered(result, found, max_chars)

    async def lease(
        self,
        *,
        group: str,
        stream: str | None = None,
        count: int = 10,
        create_group: bool = False,
        consumer: str | None = None,
        wait_seconds: float = 0,
        max_chars: int = 20_000,
    ) -> ReadResult:
        """Lease a group's oldest events, to be settled with `ack` or `release`.

        Args:
            group: The group.
            stream: By default the host's topic.
            count: 1 to 100.
            create_group: Make the group when it does not exist though the stream has others.
            consumer: Who leases; by default this one's own name.
            wait_seconds: Up to 20; how long to wait when there is nothing.
            max_chars: 500 to 200,000; how many characters of payload to return at most.
        """
        self.agent_leases.touch()
        name = self._checked(
            stream, group, consumer, count=count, wait_seconds=wait_seconds, max_chars=max_chars
        )
        holder, limits = self.holder(consumer), self._scope.limits
        limits.check_group(group)
        async with self._open(name) as found:
            if not found.exists:
                return await self._answered(
                    ReadResult(stream=name, mode="lease", events=[]), found, max_chars
                )
            if await self._scope.find_group(found.redis, name, group, create=create_group):
                await self._scope.note("read_stream", stream=name, created_group=group)
            await self._scope.check_not_paused(found.redis, name, group)
            with limits.granted(count) as grant:
                async with self.agent_leases.returning_unseen(
                    name, group, holder, own_name=self._is_own(holder)
                ) as taken:
                    result = await leasing.take(
                        await self._backend.connections(),
                        self._settings,
                        taken,
                        count=grant.events,
                        wait_seconds=wait_seconds,
                    )
                    grant.taken = len(taken.ids)
                    await self._scope.note(
                        "read_stream",
                        stream=name,
                        group=group,
                        consumer=consumer,
                        ids=taken.ids,
                        buried=taken.buried,
                    )
                    return await self._answered(result, found, max_chars)

    def _checked(
        self,
        stream: str | None,
        group: str | None = None,
        consumer: str | None = None,
        *,
        count: int,
        max_chars: int,
        start: str | None = None,
        wait_seconds: float = 0,
    ) -> str:
        """The stream's name, when all of this is in order."""
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
        return name

    @asynccontextmanager
    async def _open(self, name: str) -> AsyncIterator[_Stream]:
        async with self._scope.redis(f"reading {name!r}") as redis:
            kind = await peek.kind(redis, name)
            if kind not in {"stream", "none"}:
                raise RequestError(f"{name!r} is a {kind}, not a stream. {await self._scope.choice(redis)}")
            yield _Stream(redis, name, exists=kind == "stream")

    async def _answered(self, result: ReadResult, found: _Stream, max_chars: int) -> ReadResult:
        """The result with the length and groups of the stream, in at most `max_chars` characters."""
        if found.exists:
            result.length, result.groups = await peek.brief(found.redis, found.name)
        elif not result.events:
            result.note = await self._scope.absence(found.redis, found.name)
        if event_views.fit(result.events, max_chars):
            result.note += (
                " Some payloads were shortened: call again with a smaller count or a larger max_chars."
            )
        result.note = result.note.strip()
        return result

    async def _pending(
        self, found: _Stream, group: str, *, count: int, start: str | None, consumer: str | None
    ) -> ReadResult:
        rows = await peek.pending(found.redis, found.name, group, after=start, count=count, consumer=consumer)
        events = [
            event_views.view(
                row.id,
                row.fields,
                deliveries=row.deliveries,
                consumer=None if row.idle_seconds is None or row.due_at else row.consumer,
                idle_seconds=None if row.due_at else row.idle_seconds,
                held_seconds=None if row.due_at else row.held_seconds,
                due_at=row.due_at,
                yours=self._is_ours(found.name, group, row),
            )
            for row in rows
        ]
        return ReadResult(
            stream=found.name,
            mode="pending",
            events=events,
            next_start=rows[-1].id if len(rows) == count else None,
            note=(
                "Nothing was changed."
                if rows
                else f"Nothing is leased {'' if consumer is None else f'to {consumer!r} '}in group {group!r}."
            ),
        )

    def _is_ours(self, stream: str, group: str, row: PendingEntry) -> bool:
        """Whether the caller holds a pending entry at present."""
        if row.due_at or row.idle_seconds is None:
            return False
        return row.consumer == self.consumer or self.agent_leases.holds(stream, group, row.consumer, row.id)

    def _is_own(self, consumer: str) -> bool:
        """Whether the name is ours alone; another process may have the same configured name."""
        return consumer == self.consumer and self._settings.redis_stream_consumer is None

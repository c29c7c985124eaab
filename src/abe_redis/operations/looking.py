"""Looking at a stream by hand: at its events, and at what is pending.

Each checks its arguments, reads, and adds the length and the groups of the stream.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Unpack

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.errors import RequestError
from abe_redis.operations import event_views, matching_entries, topics
from abe_redis.operations.caller import Caller
from abe_redis.operations.checks import check_id, check_range
from abe_redis.operations.filters import Asked, Filter
from abe_redis.operations.payload_size import Room
from abe_redis.runtime.shell import command
from abe_redis.schemas import MAX_CHARS, MAX_COUNT, MAX_WAIT_SECONDS, MIN_CHARS, EventView, ReadResult
from abe_redis.streams import brief, find_streams, manage, names, peek
from abe_redis.streams.page_size import PageSize
from abe_redis.streams.peek import Order, PendingEntry

PAUSED = "The group is paused: nothing is delivered until it is resumed."


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A stream that is read, or the lack of one."""

    redis: Redis
    name: str
    exists: bool


class Looking(Caller):
    """Looking at streams for a caller, one stream at a time."""

    async def gone(self, streams: Sequence[str]) -> set[str]:
        """Those streams that do not exist, and those topics of which no partition does."""
        async with self._scope.redis("looking which streams exist") as redis:
            return await find_streams.gone(redis, streams, self._backend.patterns)

    async def streams_of(self, stream: str | None) -> tuple[str, list[str]]:
        """The name of a topic, by default the host's, and its existing streams: its own, then partitions."""
        name = self._scope.allowed(stream)
        async with self._scope.redis(f"looking at {name!r}") as redis:
            return name, await topics.streams(redis, self._scope.patterns, name)

    async def absence(self, stream: str) -> str:
        """A sentence about a stream that does not exist, for who follows it."""
        async with self._scope.redis(f"looking at {stream!r}") as redis:
            return await self._scope.absence(
                redis, stream, do=lambda part: f"`{command('read', part, options='--follow')}`"
            )

    async def peek(
        self,
        *,
        stream: str | None = None,
        dead: bool = False,
        count: int = 10,
        start: str | None = None,
        order: Order = "newest",
        news: bool = False,
        wait_seconds: float = 0,
        max_chars: int | None = 20_000,
        **asked: Unpack[Asked],
    ) -> ReadResult:
        """Look at events, and change nothing.

        Args:
            stream: By default the host's topic.
            dead: Look at the dead letters of this stream instead.
            count: 1 to 100.
            start: Begin behind this id.
            order: Which end to look from.
            news: Skip existing events, and wait for new ones.
            wait_seconds: Up to 20; how long to wait when there is nothing.
            max_chars: 500 to 200,000; how many characters of payload to return at most; None: all.
            asked: Show only these.
        """
        self.agent_leases.touch()
        name = self._checked(stream, count=count, start=start, wait_seconds=wait_seconds, max_chars=max_chars)
        if dead:
            name = names.dead_letters(self._scope.consumable(stream))
        async with self._open(name) as found:
            wanted = await Filter.at_times(found.redis, self._scope.limits, **asked)
            connections = await self._backend.connections()
            if news:
                result = await matching_entries.wait_for_news(
                    connections, name, count=count, wanted=wanted, wait_seconds=wait_seconds
                )
            else:
                result = await matching_entries.look(
                    connections,
                    name,
                    count=count,
                    start=start,
                    order=order,
                    wanted=wanted,
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
        max_chars: int | None = 20_000,
    ) -> ReadResult:
        """See what is leased in a group, oldest first, and change nothing.

        Args:
            group: The group.
            stream: By default the host's topic.
            count: 1 to 100.
            start: Begin behind this id.
            consumer: Only what this one holds.
            max_chars: 500 to 200,000; how many characters of payload to return at most; None: all.
        """
        self.agent_leases.touch()
        name = self._checked(stream, group, consumer, count=count, start=start, max_chars=max_chars)
        async with self._open(name) as found:
            result = ReadResult(stream=name, mode="pending", group=group, events=[])
            if found.exists:
                await self._scope.find_group(found.redis, name, group, create=None)
                async with self._scope.limits.turn():
                    result = await self._pending(found, group, count=count, start=start, consumer=consumer)
                result.paused = await manage.is_paused(found.redis, name, group)
                result.note += f" {PAUSED}" if result.paused else ""
            return await self._answered(result, found, max_chars, group=group)

    def _checked(
        self,
        stream: str | None,
        group: str | None = None,
        consumer: str | None = None,
        *,
        count: int,
        max_chars: int | None,
        start: str | None = None,
        wait_seconds: float = 0,
    ) -> str:
        """The stream's name, after all arguments are checked."""
        check_range("count", count, 1, MAX_COUNT)
        check_range("wait_seconds", wait_seconds, 0, MAX_WAIT_SECONDS)
        if max_chars is not None:
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
    async def _open(self, name: str) -> AsyncIterator[OpenStream]:
        async with self._scope.redis(f"reading {name!r}") as redis:
            kind = await peek.kind(redis, name)
            if kind not in {"stream", "none"}:
                raise RequestError(f"{name!r} is a {kind}, not a stream. {await self._scope.choice(redis)}")
            yield OpenStream(redis, name, exists=kind == "stream")

    async def _answered(
        self, result: ReadResult, found: OpenStream, max_chars: int | None, *, group: str | None = None
    ) -> ReadResult:
        """The result with the length and groups of the stream, in at most `max_chars` characters.

        Args:
            result: The events.
            found: The stream.
            max_chars: Most characters; None: any number.
            group: The group whose events they are.
        """
        if found.exists:
            result.length, result.groups = await brief.brief(found.redis, found.name)
        elif not result.events:
            result.note = await self._scope.absence(found.redis, found.name)
            origin = names.home_of(found.name)
            result.missing = origin == found.name or await peek.kind(found.redis, origin) == "none"
        if found.exists or names.is_dead_letters(found.name):
            result.note += f" {await self._about_partitions(result, found, group)}"
        if max_chars is not None or self._scope.limits.is_limited:
            await _bound(result.events)
        if max_chars is not None and await event_views.fit(result.events, max_chars):
            result.note += (
                " Some payloads were shortened: call again with a smaller count or a larger max_chars."
            )
        result.note = result.note.strip()
        return result

    async def _about_partitions(self, result: ReadResult, found: OpenStream, group: str | None) -> str:
        """A sentence on what the partitions hold, beside a stream of the topic's own name; empty without any.

        An answer with leased events has none: they are what was asked for.
        """
        if result.mode == "lease" and result.events:
            return ""
        is_dead = names.is_dead_letters(found.name)
        topic = names.home_of(found.name)
        parts = await topics.partitions(found.redis, self._scope.patterns, topic)
        if is_dead:
            holdings = await topics.with_letters(found.redis, parts)
        else:
            lacking_too = result.mode == "waiting"
            holdings = await topics.with_unfinished(
                found.redis, parts, group, idle_too=False, lacking_too=lacking_too
            )
        if not holdings:
            return ""
        what = "dead letters" if is_dead else "events"
        return (
            f"Its partitions have {what} of their own, too: {topics.listed(holdings)}. "
            f"{self._scope.together(topic)}"
        )

    async def _pending(
        self, found: OpenStream, group: str, *, count: int, start: str | None, consumer: str | None
    ) -> ReadResult:
        events, pages, after, more = list[EventView](), PageSize(count), start, True
        while more and len(events) < count and not pages.is_spent():
            asked = min(pages.count, count - len(events))
            rows = await peek.pending(
                *(found.redis, found.name, group),
                after=after,
                count=asked,
                consumer=consumer,
                lease_seconds=self._settings.redis_stream_lease_seconds,
            )
            more = len(rows) == asked
            pages.note(row.fields for row in rows)
            for row in rows:
                await anyio.lowlevel.checkpoint()  # others have their turn, however large the events are
                events.append(self._pending_view(found.name, group, row))
                after = row.id
        if more and len(events) == count:
            more = bool(
                await peek.pending(found.redis, found.name, group, after=after, count=1, consumer=consumer)
            )
        return ReadResult(
            stream=found.name,
            mode="pending",
            group=group,
            events=events,
            next_start=after if more else None,
            note=(
                "Nothing was changed."
                if events
                else f"Nothing is leased {'' if consumer is None else f'to {consumer!r} '}in group {group!r}."
            ),
        )

    def _pending_view(self, stream: str, group: str, row: PendingEntry) -> EventView:
        is_held = row.state == "held"
        return event_views.view(
            row.id,
            row.fields,
            state=row.state,
            deliveries=row.deliveries,
            consumer=row.consumer if is_held else None,
            idle_seconds=row.idle_seconds if is_held else None,
            held_seconds=row.held_seconds if is_held else None,
            left_by=row.left_by,
            had_by=row.had_by,
            free_at=row.free_at,
            due_at=row.due_at,
            reason=row.reason,
            yours=is_held and self._is_ours(stream, group, row.consumer, row.id),
        )

    def _is_ours(self, stream: str, group: str, holder: str | None, entry_id: str) -> bool:
        """Whether the holder of an entry is the caller."""
        if holder is None:
            return False
        return holder == self.consumer or self.agent_leases.holds(stream, group, holder, entry_id)

    def _is_own(self, consumer: str) -> bool:
        """Whether the name is ours alone."""
        return consumer == self.consumer and self.is_name_unique


async def _bound(events: Sequence[EventView]) -> None:
    """Shorten very large payloads, so that nobody waits long for the rest of the answer to be made."""
    room = Room(len(events))
    for event in events:
        room.bound(event)
        await anyio.lowlevel.checkpoint()  # others have their turn, however large the events are

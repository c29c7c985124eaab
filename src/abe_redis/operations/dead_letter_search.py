"""Finds dead letters: in which streams, and which of them a choice and a filter mean."""

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.errors import RequestError
from abe_redis.operations import event_views, topics
from abe_redis.operations.checks import check_id
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.filters import Filter
from abe_redis.operations.positions import check_not_swapped
from abe_redis.operations.positions import since as since_id
from abe_redis.operations.scope import Scope
from abe_redis.runtime.plurals import some_of
from abe_redis.runtime.shell import command
from abe_redis.sanitize.untrusted import quoted, shown
from abe_redis.schemas import DeadLetter
from abe_redis.streams import dead_fields, ids, names, peek
from abe_redis.streams.find_streams import existing
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.unfinished import is_recorded

_PAGE, _MOST_NAMED = 50, 20


@dataclass(frozen=True, slots=True)
class Found:
    """A dead letter that was found."""

    letter: DeadLetter
    """It, without its payload and its traceback."""
    entry: peek.Entry
    """Its entry, whole."""

    @property
    def whole(self) -> DeadLetter:
        """It, with its payload and its traceback."""
        return letter_of(self.letter.stream, self.entry, whole=True)


class DeadLetterSearch:
    """Searches the dead letters of the streams that the settings name."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def sources(self, redis: Redis) -> list[str]:
        """Streams that may have dead letters: existing ones, and those with only dead letters left."""
        found = set(await existing(redis, self._scope.patterns, limit=sys.maxsize))
        buried = await existing(redis, _DeadLettersOf(self._scope.patterns), limit=sys.maxsize)
        return sorted(found | {names.buried_from(name) for name in buried})

    async def streams(self, redis: Redis, name: str | None) -> list[str]:
        """The streams that may have dead letters: this one with the partitions of its topic, or all.

        Raises:
            RequestError: There is no such stream, and there are no dead letters of it.
        """
        sources = await self.sources(redis)
        if name is None:
            return sources
        found = topics.in_order(one for one in sources if name in {one, names.topic_of(one)})
        if not found:
            await self._scope.check_known(redis, name)
        return found or [name]

    async def check_group(self, redis: Redis, streams: Sequence[str], group: str | None) -> None:
        """Refuse a group that no stream has and no dead letter names: it may be mistyped.

        Raises:
            RequestError: There is no such group.
        """
        if group is None or not streams:
            return
        known = set[str]()
        for one in streams:
            known.update(await peek.groups(redis, one))
            if group in known or await is_recorded(redis, one, group):
                return
            async for found in self.matching(redis, one, Choice()):
                if found.letter.group == group:
                    return
                known.add(found.letter.group or "")
        where = f"of {streams[0]!r}" if len(streams) == 1 else "in any stream"
        those = f"Known are: {some_of(known - {''}, _MOST_NAMED)}." if known - {""} else "There is none yet."
        raise RequestError(f"There is no group {group!r} {where}. {those}")

    async def check_known(self, redis: Redis, name: str, what: str) -> None:
        """Refuse a stream without entries and dead letters, of which somebody wants to `redrive` or `purge`.

        Raises:
            RequestError: There is no such stream.
        """
        await self._scope.check_known(redis, name, do=partial(self._for_part, what))

    async def elsewhere(self, redis: Redis, name: str, what: str) -> str:
        """A sentence on the dead letters of a topic's partitions, of which such a change leaves all."""
        parts = await topics.partitions(redis, self._scope.patterns, name)
        found = await topics.with_letters(redis, parts)
        if not found:
            return ""
        how = self._for_part(what, next(iter(found)))
        each = "" if len(found) == 1 else ", and so for each"
        return (
            f"Its partitions have dead letters of their own, which stay: {topics.listed(found)}. For these: "
            f"{how}{each}."
        )

    def _for_part(self, what: str, part: str) -> str:
        if self._scope.is_agents:
            return f"{what}(stream={quoted(part, most=512)})"
        return f"`{command(f'dead {what}', part)}` with the same choice"

    async def matching(
        self,
        redis: Redis,
        stream: str,
        choice: Choice,
        *,
        after: str | None = None,
        wanted: Filter | None = None,
    ) -> AsyncIterator[Found]:
        """The dead letters of a stream that match, the oldest first, a page of them at a time.

        Args:
            redis: The client.
            stream: The stream they came from.
            choice: Which ones.
            after: Begin behind this one.
            wanted: Only dead letters of these events.
        """
        now = datetime.fromtimestamp(await peek.now(redis), UTC)
        begin = None if choice.since is None else await since_id(redis, choice.since)
        until = None if choice.until is None else await since_id(redis, choice.until)
        if begin and until:
            check_not_swapped(begin, until, ("since", f"{choice.since}"), ("until", f"{choice.until}"))
        if begin:
            first = ids.before(begin)
            after = first if after is None or ids.order(after) < ids.order(first) else after
        end = None if until is None else ids.order(until)
        choice = replace(choice, ids=[check_id("An id", one) for one in choice.ids])
        async for page in peek.pages(redis, names.dead_letters(stream), size=_PAGE, after=after):
            for entry in page:
                await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
                if end is not None and ids.order(entry.id) >= end:
                    return
                if wanted and not wanted.matches(event_views.view(entry.id, entry.fields)):
                    continue
                letter = letter_of(stream, entry)
                if self._scope.limits.is_limited:  # a hidden secret must not be found by guessing
                    letter.reason = shown(letter.reason)
                if choice.matches(letter, now) and (choice.reason is None or self._may_read(entry)):
                    yield Found(letter, entry)

    def _may_read(self, entry: peek.Entry) -> bool:
        """Whether a filter of the caller may match the reason: a reason may quote the event."""
        return self._scope.limits.may_read(event_views.view(entry.id, entry.fields).payload or {})


class _DeadLettersOf(Patterns):
    """The dead letters of the streams that match some patterns."""

    def __init__(self, patterns: Patterns) -> None:
        super().__init__((*map(names.dead_letters, patterns.literals), "dead:*"))
        self._sources = patterns

    def match(self, name: str) -> bool:
        return names.is_dead_letters(name) and self._sources.match(names.buried_from(name))


def letter_of(stream: str, entry: peek.Entry, *, whole: bool = False) -> DeadLetter:
    """The dead letter that an entry is; `whole` adds its payload and its traceback."""

    def said(name: bytes) -> str | None:
        value = entry.fields.get(name)
        return None if value is None else value.decode(errors="replace")

    first_id = said(dead_fields.FIRST_ID) or entry.id
    view = event_views.view(
        entry.id, {name: value for name, value in entry.fields.items() if name != dead_fields.REASON}
    )
    return DeadLetter(
        id=entry.id,
        stream=stream,
        group=said(dead_fields.GROUP),
        reason=said(dead_fields.REASON) or "",
        deliveries=ids.number(entry.fields.get(dead_fields.DELIVERIES)),
        consumer=said(dead_fields.CONSUMER),
        buried_at=view.timestamp,
        first_id=first_id,
        entry_id=said(dead_fields.ENTRY_ID) or first_id,
        event_type=view.event_type,
        summary=view.summary,
        handler=said(dead_fields.HANDLER),
        trace=said(dead_fields.TRACE) if whole else None,
        payload=view.payload if whole else None,
    )

"""Looking at what waits in a stream: the events that a group has not finished, the oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Unpack

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.errors import RequestError
from abe_redis.operations import event_views
from abe_redis.operations.filters import Asked, Filter
from abe_redis.operations.looking import PAUSED, Looking
from abe_redis.schemas import EventView, ReadResult
from abe_redis.streams import manage, peek, unfinished
from abe_redis.streams.ids import before, order
from abe_redis.streams.page_size import PageSize

_SCANNED = 2000
"""Entries that a filtered look searches in one call."""
_PAGE = 100


@dataclass(slots=True)
class _Search:
    """The events that were found, and how far the search has come."""

    last: str | None
    """The id of the last entry that was looked at."""
    count: int
    wanted: Filter
    found: list[EventView] = field(default_factory=list)
    looked_at: int = 0
    more: bool = False
    """Whether there may be more to find."""

    is_past: bool = False
    """Whether it has passed the end of the wanted time."""

    @property
    def is_full(self) -> bool:
        """Whether no more is wanted."""
        return self.is_past or len(self.found) >= self.count

    @property
    def goes_on(self) -> bool:
        """Whether the next page is looked at, too."""
        return self.more and not self.is_full and self.looked_at < _SCANNED

    def note(self, entry_id: str, view: EventView) -> None:
        """Look at an entry."""
        if self.wanted.until is not None and order(entry_id) >= order(self.wanted.until):
            self.is_past = True
            return
        self.last, self.looked_at = entry_id, self.looked_at + 1
        if self.wanted.matches(view):
            self.found.append(view)

    def said(self, group: str | None, *, is_first: bool) -> str:
        """The result in a sentence."""
        where = "" if group is None else f" in group {group!r}"
        if self.found:
            return f"They wait{where}, the oldest first. Nothing was changed."
        if self.more:
            return f"None of the {self.looked_at:,} looked at matches; more with start={self.last}."
        if self.looked_at:
            return f"None of the {self.looked_at:,} that wait{where} matches.{self.wanted.doubt}"
        return f"Nothing waits{where}{'' if is_first else ' behind that id'}."


class Waiting(Looking):
    """Looking at what groups have not finished."""

    async def waiting(
        self,
        *,
        group: str | None = None,
        stream: str | None = None,
        count: int = 10,
        start: str | None = None,
        max_chars: int | None = 20_000,
        **asked: Unpack[Asked],
    ) -> ReadResult:
        """See what a group has not finished, oldest first, and change nothing.

        That is what was not delivered to it yet, and what is pending: held by a consumer, given back, or
        postponed.

        Args:
            group: The group; it may be left out when events wait in only one.
            stream: By default the host's topic.
            count: 1 to 100.
            start: Begin behind this id.
            max_chars: 500 to 200,000; how many characters of payload to return at most; None: all.
            asked: Show only these.
        """
        self.agent_leases.touch()
        name = self._checked(
            self._scope.consumable(stream), group, count=count, start=start, max_chars=max_chars
        )
        async with self._open(name) as found:
            if not found.exists:
                return await self._answered(
                    ReadResult(stream=name, mode="waiting", events=[]), found, max_chars
                )
            is_named = group is not None
            group = await self._group_that_waits(found.redis, name, [name], group)
            wanted = await Filter.at_times(found.redis, self._scope.limits, **asked)
            async with self._scope.limits.turn():
                result = await self._waiting(found.redis, name, group, count, start, wanted)
            result.group = group
            result.paused = group is not None and await manage.is_paused(found.redis, name, group)
            note = [result.note, await self._state_of(found.redis, name, group, paused=result.paused)]
            result.note = " ".join(filter(None, note))
            result = await self._answered(result, found, max_chars, group=group)
            if not is_named and len(result.groups) > 1:
                result.note += " In its other groups nothing waits."
            return result

    async def _group_that_waits(
        self, redis: Redis, topic: str, streams: Sequence[str], group: str | None
    ) -> str | None:
        """The group whose events wait in some streams of a topic; None when these have none.

        Raises:
            RequestError: There is no such group, or events wait in several and none is named.
        """
        if group is not None:
            recorded = [await unfinished.is_recorded(redis, one, group) for one in streams]
            if not any(recorded) and not any([group in await peek.groups(redis, one) for one in streams]):
                await self._scope.find_group(redis, streams[0], group, create=None)
            return group
        groups = list(dict.fromkeys([name for one in streams for name in await peek.groups(redis, one)]))
        if 1 < len(groups) <= _MOST_NAMED:
            busy = [
                name for name in groups if any([await _any_left(redis, one, name, None) for one in streams])
            ]
            groups = busy or groups[:1]
        if len(groups) > 1:
            raise RequestError(
                f"{len(groups)} groups of the stream {topic!r} have unfinished events of their own: name one "
                f"with group. They are: {', '.join(map(repr, groups[:_MOST_NAMED]))}"
                f"{', …' if len(groups) > _MOST_NAMED else ''}."
            )
        return groups[0] if groups else None

    async def _state_of(self, redis: Redis, stream: str, group: str | None, *, paused: bool) -> str:
        """A sentence on why nothing may move."""
        if group is None:
            return "No group reads this stream yet, so everything in it waits."
        if paused:
            return PAUSED
        given = await peek.given(redis, stream, group)
        if given is None:
            return "Somebody destroyed the group; its next consumer makes it again where it had finished."
        if order(given) > order((await peek.end(redis, stream))[0]):
            return (
                f"Somebody set the group beyond the end of the stream, to {given}, so that it skips every "
                "event; its next consumer sets it back to where it was."
            )
        return ""

    async def _waiting(
        self, redis: Redis, stream: str, group: str | None, count: int, start: str | None, wanted: Filter
    ) -> ReadResult:
        search = _Search(start, count, wanted)
        if start is None and wanted.since is not None:
            search.last = before(wanted.since)
        now, size = await peek.now(redis), PageSize(_PAGE if wanted.is_given else count)
        lease = self._settings.redis_stream_lease_seconds
        async for page in unfinished.pages(
            redis, stream, group, after=search.last, size=size, lease_seconds=lease
        ):
            search.more = page.after is not None
            for place, one in enumerate(page.entries, 1):
                await anyio.lowlevel.checkpoint()  # others have their turn, however large the events are
                search.note(one.id, self._view(stream, group, one, now))
                if search.is_full:
                    search.more = search.more or place < len(page.entries)
                    break
            if not search.goes_on:
                break
            search.last = page.after
        if search.is_past:
            search.more = False
        elif search.more and search.is_full:
            search.more = await _any_left(redis, stream, group, search.last)
        return ReadResult(
            stream=stream,
            mode="waiting",
            events=search.found,
            next_start=search.last if search.more else None,
            note=search.said(group, is_first=start is None),
        )

    def _view(self, stream: str, group: str | None, one: unfinished.Unfinished, now: float) -> EventView:
        waited = round(max(0.0, now - order(one.id)[0] / 1000), 3)
        if one.row is None or group is None:
            return event_views.view(one.id, one.fields, state="undelivered", waited_seconds=waited)
        view = self._pending_view(stream, group, one.row)
        view.waited_seconds = waited
        return view


_MOST_NAMED = 20


async def _any_left(redis: Redis, stream: str, group: str | None, after: str | None) -> bool:
    """Whether anything waits behind an id."""
    async for page in unfinished.pages(redis, stream, group, after=after, size=PageSize(1)):
        if page.entries:
            return True
    return False

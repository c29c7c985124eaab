"""Counting events by what they have in common."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.events import slack
from abe_redis.events.codec import Fields
from abe_redis.events.conversation import conversation_of
from abe_redis.operations import event_views
from abe_redis.operations.caller_limits import Limits
from abe_redis.operations.dead_letter_kinds import alike
from abe_redis.operations.filters import Filter
from abe_redis.schemas import CountResult, CountRow, EventView
from abe_redis.streams import ids, peek, unfinished
from abe_redis.streams.page_size import PageSize

type By = Literal["type", "user", "channel", "thread", "hour", "day", "reason", "group"]

_SEARCHED, _SEARCHED_BYTES = 20_000, 64 * 1024 * 1024
"""Entries, and bytes of their payloads, after which counting stops."""
_PAGE = 200
_MOST_ROWS = 10_000
_OTHERS = "(all others)"
_NONE, _WITHHELD = "(none)", "(withheld)"
_TIMES: frozenset[By] = frozenset({"hour", "day"})
_SAID: frozenset[By] = frozenset({"type", "user", "channel", "thread", "reason"})
"""Keys that come from an event or its handler, and may hold untrusted text."""


@dataclass(slots=True)
class _Tally:
    """The events counted so far."""

    by: By
    wanted: Filter
    counts: Counter[str] = field(default_factory=Counter)
    newest: dict[str, str] = field(default_factory=dict)
    """Per value, the id of its newest event."""
    searched: int = 0
    after: str | None = None
    """The id of the last entry that was looked at."""
    complete: bool = False
    """Whether all were."""

    @property
    def goes_on(self) -> bool:
        """Whether there is more to look at."""
        return self.searched < _SEARCHED and not self.complete

    def note(self, entry_id: str, fields: Fields | None) -> None:
        """Look at an entry."""
        self.after, self.searched = entry_id, self.searched + 1
        view = event_views.view(entry_id, fields)
        if self.wanted.matches(view):
            value = _value(view, self.by, self.wanted.limits)
            value = value if value in self.counts or len(self.counts) < _MOST_ROWS else _OTHERS
            self.counts[value] += 1
            self.newest[value] = max(self.newest.get(value, entry_id), entry_id, key=ids.order)

    def result(self, stream: str, most_rows: int) -> CountResult:
        """The rows: times in their order, the last ones; everything else with the most frequent first."""
        is_time = self.by in _TIMES
        found = sorted(self.counts.items()) if is_time else self.counts.most_common()
        shown = found[-most_rows:] if is_time else found[:most_rows]
        return CountResult(
            stream=stream,
            by=self.by,
            rows=[CountRow(value=value, count=count, last_id=self.newest[value]) for value, count in shown],
            total=self.counts.total(),
            omitted=len(found) - len(shown),
            searched=self.searched,
            back_to=None if self.after is None else ids.moment(self.after),
            complete=self.complete,
        )


async def count(
    redis: Redis, stream: str, *, source: str, by: By, wanted: Filter, most_rows: int
) -> CountResult:
    """Count the events of a stream, or its dead letters, from the newest on.

    Args:
        redis: The client.
        stream: The stream, as the answer names it.
        source: The stream that is read: the stream itself, or its dead letters.
        by: What the events of a row have in common.
        wanted: Selects the events.
        most_rows: How many rows at most: the largest, or the last hours or days; the rest counts as left out.
    """
    tally = _Tally(by, wanted, after=wanted.until)
    pages = PageSize(_PAGE, most_bytes=_SEARCHED_BYTES)
    while tally.goes_on and not pages.is_spent():
        asked = min(pages.count, _SEARCHED - tally.searched)
        page = await peek.entries(redis, source, after=tally.after, count=asked, order="newest")
        tally.complete = len(page) < asked
        pages.note(entry.fields for entry in page)
        for entry in page:
            await anyio.lowlevel.checkpoint()  # other tasks get their turn, however large the entries are
            if wanted.since is not None and ids.order(entry.id) < ids.order(wanted.since):
                tally.complete = True
                break
            tally.note(entry.id, entry.fields)
    result = tally.result(stream, most_rows)
    result.dead = source != stream
    return result


async def count_waiting(
    redis: Redis, stream: str, *, group: str | None, by: By, wanted: Filter, most_rows: int
) -> CountResult:
    """Count the events that a group has not finished, from the oldest on.

    Args:
        redis: The client.
        stream: The stream.
        group: The group; None when the stream has none, so that everything waits.
        by: What the events of a row have in common.
        wanted: Selects the events.
        most_rows: How many rows at most, as for `count`.
    """
    tally = _Tally(by, wanted)
    after = None if wanted.since is None else ids.before(wanted.since)
    size = PageSize(_PAGE, most_bytes=_SEARCHED_BYTES)
    async for page in unfinished.pages(redis, stream, group, after=after, size=size):
        tally.complete = page.after is None
        for entry in page.entries:
            await anyio.lowlevel.checkpoint()
            if wanted.until is not None and ids.order(entry.id) >= ids.order(wanted.until):
                tally.complete = True
                break
            tally.note(entry.id, entry.fields)
        if not tally.goes_on:
            break
    result = tally.result(stream, most_rows)
    result.waiting, result.group = True, group
    return result


def _value(view: EventView, by: By, limits: Limits) -> str:
    payload: dict[str, Any] = view.payload or {}
    match by:
        case "type":
            found = view.event_type
        case "user":
            found = slack.user_of(payload)
        case "channel":
            found = slack.channel_of(payload)
        case "thread":
            found = conversation_of(payload, "thread")
        case "hour":
            found = f"{view.timestamp:%Y-%m-%d %H}:00"
        case "day":
            found = f"{view.timestamp:%Y-%m-%d}"
        case "reason":
            found = None if view.buried is None else alike(view.buried.reason)
        case "group":
            found = None if view.buried is None else view.buried.group
    if by in _SAID and found:
        found = limits.known(by, found, payload) or _WITHHELD
    return found or _NONE

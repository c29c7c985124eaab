"""Counting events by what they have in common."""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from abe_redis.schemas import Buried, CountOfStream, CountResult, CountRow, EventView
from abe_redis.streams import dead, dead_fields, ids, peek, unfinished
from abe_redis.streams.page_size import PageSize

type By = Literal["type", "user", "channel", "thread", "hour", "day", "reason", "group", "handler"]

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
class _Part:
    """One of the streams that are counted together."""

    stream: str
    source: str
    """The stream that is read: the stream itself, or its dead letters."""
    after: str | None
    """The id of the last entry that was looked at."""
    total: int = 0
    searched: int = 0
    complete: bool = False
    """Whether all of its entries were looked at."""


@dataclass(slots=True)
class _Tally:
    """The events counted so far."""

    by: By
    wanted: Filter
    parts: list[_Part]
    gave_up: str | None = None
    """Of dead letters, only those of this group."""
    counts: Counter[str] = field(default_factory=Counter)
    again: int = 0
    """How many of them were redriven, so that their events are there twice."""
    newest: dict[str, str] = field(default_factory=dict)
    """Per value, the id of its newest event."""

    @property
    def searched(self) -> int:
        """Entries that were looked at."""
        return sum(part.searched for part in self.parts)

    @property
    def left(self) -> list[_Part]:
        """The streams that may have more; none after enough was looked at."""
        return [part for part in self.parts if not part.complete] if self.searched < _SEARCHED else []

    def note(self, part: _Part, entry_id: str, fields: Fields | None) -> None:
        """Look at an entry."""
        part.after, part.searched = entry_id, part.searched + 1
        view = event_views.view(entry_id, fields)
        of_group = None if view.buried is None else view.buried.group
        if self.gave_up in {None, of_group} and self.wanted.matches(view):
            value = _value(view, self.by, self.wanted.limits)
            value = value if value in self.counts or len(self.counts) < _MOST_ROWS else _OTHERS
            part.total += 1
            self.again += dead_fields.FIRST_ID not in (fields or {}) and dead.FIRST in (fields or {})
            self.counts[value] += 1
            self.newest[value] = max(self.newest.get(value, entry_id), entry_id, key=ids.order)

    def ends(self) -> tuple[list[str], list[str]]:
        """The last ids that were looked at: of streams that may have more, and of those that have none."""
        seen = [(part.complete, part.after) for part in self.parts if part.after is not None]
        return [one for done, one in seen if not done], [one for done, one in seen if done]

    def result(self, stream: str, most_rows: int, *, end: str | None) -> CountResult:
        """The rows: times in their order, the last ones; everything else with the most frequent first.

        Args:
            stream: The stream, or the topic, as the answer names it.
            most_rows: How many rows at most.
            end: The id up to which all entries were looked at.
        """
        is_time = self.by in _TIMES
        found = sorted(self.counts.items()) if is_time else self.counts.most_common()
        shown = found[-most_rows:] if is_time else found[:most_rows]
        several = self.parts if len(self.parts) > 1 or any(one.stream != stream for one in self.parts) else []
        return CountResult(
            stream=stream,
            by=self.by,
            rows=[CountRow(value=value, count=count, last_id=self.newest[value]) for value, count in shown],
            total=self.counts.total(),
            redriven=self.again,
            omitted=len(found) - len(shown),
            searched=self.searched,
            back_to=None if end is None else ids.moment(end),
            complete=all(part.complete for part in self.parts),
            streams=[
                CountOfStream(
                    stream=one.stream, total=one.total, searched=one.searched, complete=one.complete
                )
                for one in several
            ],
        )


def _place(part: _Part) -> tuple[int, int]:
    return (0, 0) if part.after is None else ids.order(part.after)


async def count(
    redis: Redis,
    stream: str,
    *,
    sources: Mapping[str, str],
    by: By,
    wanted: Filter,
    most_rows: int,
    group: str | None = None,
) -> CountResult:
    """Count the events of a stream or of a topic's streams, or their dead letters, from the newest on.

    Args:
        redis: The client.
        stream: The stream or the topic, as the answer names it.
        sources: Per stream, the one that is read: the stream itself, or its dead letters.
        by: What the events of a row have in common.
        wanted: Selects the events.
        most_rows: How many rows at most: the largest, or the last hours or days; the rest counts as left out.
        group: Of dead letters, only those that this group gave up on.
    """
    parts = [_Part(name, source, wanted.until) for name, source in sources.items()]
    tally = _Tally(by, wanted, parts, gave_up=group)
    pages = PageSize(_PAGE, most_bytes=_SEARCHED_BYTES)
    while (left := tally.left) and not pages.is_spent():
        # The one that has come least far back, so that all go back equally far.
        part = max(left, key=lambda one: (one.after is None, _place(one)))
        asked = min(pages.count, _SEARCHED - tally.searched)
        page = await peek.entries(redis, part.source, after=part.after, count=asked, order="newest")
        part.complete = len(page) < asked
        pages.note(entry.fields for entry in page)
        for entry in page:
            await anyio.lowlevel.checkpoint()  # other tasks get their turn, however large the entries are
            if wanted.since is not None and ids.order(entry.id) < ids.order(wanted.since):
                part.complete = True
                break
            tally.note(part, entry.id, entry.fields)
    going, ended = tally.ends()
    end = max(going, key=ids.order) if going else min(ended, key=ids.order, default=None)
    return tally.result(stream, most_rows, end=end)


async def count_waiting(
    redis: Redis,
    stream: str,
    *,
    streams: Sequence[str],
    group: str | None,
    by: By,
    wanted: Filter,
    most_rows: int,
) -> CountResult:
    """Count the events that a group has not finished, from the oldest on.

    Args:
        redis: The client.
        stream: The stream or the topic, as the answer names it.
        streams: Its streams. Where the group does not exist yet, everything waits.
        group: The group; None when no stream has one, so that everything waits.
        by: What the events of a row have in common.
        wanted: Selects the events.
        most_rows: How many rows at most, as for `count`.
    """
    tally = _Tally(by, wanted, [_Part(name, name, None) for name in streams])
    after = None if wanted.since is None else ids.before(wanted.since)
    size = PageSize(_PAGE, most_bytes=_SEARCHED_BYTES)
    pages = {one: unfinished.pages(redis, one, group, after=after, size=size) for one in streams}
    while left := tally.left:
        part = min(left, key=_place)
        page = await anext(pages[part.stream], None)
        if page is None:  # enough bytes were read
            break
        part.complete = page.after is None
        for entry in page.entries:
            await anyio.lowlevel.checkpoint()
            if wanted.until is not None and ids.order(entry.id) >= ids.order(wanted.until):
                part.complete = True
                break
            tally.note(part, entry.id, entry.fields)
    going, ended = tally.ends()
    end = min(going, key=ids.order) if going else max(ended, key=ids.order, default=None)
    result = tally.result(stream, most_rows, end=end)
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
        case _:
            found = None if view.buried is None else _of_dead_letter(view.buried, by)
    if by in _SAID and found:
        found = limits.known(by, found, payload) or _WITHHELD
    return found or _NONE


def _of_dead_letter(buried: Buried, by: By) -> str | None:
    match by:
        case "reason":
            return alike(buried.reason)
        case "group":
            return buried.group
        case _:
            return buried.handler

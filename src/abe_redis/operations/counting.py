"""Counting events by what they have in common."""

from collections import Counter
from typing import Any, Literal

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.events import slack
from abe_redis.operations import event_views
from abe_redis.operations.caller_limits import Limits
from abe_redis.operations.dead_letter_kinds import alike
from abe_redis.operations.filters import Filter
from abe_redis.schemas import CountResult, CountRow, EventView
from abe_redis.streams import ids, peek
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
    counts, newest = Counter[str](), dict[str, str]()
    after, searched, complete = wanted.until, 0, False
    pages = PageSize(_PAGE, most_bytes=_SEARCHED_BYTES)
    while searched < _SEARCHED and not (complete or pages.is_spent()):
        asked = min(pages.count, _SEARCHED - searched)
        page = await peek.entries(redis, source, after=after, count=asked, order="newest")
        complete = len(page) < asked
        pages.note(entry.fields for entry in page)
        for entry in page:
            await anyio.lowlevel.checkpoint()  # other tasks get their turn, however large the entries are
            if wanted.since is not None and ids.order(entry.id) < ids.order(wanted.since):
                complete = True
                break
            after, searched = entry.id, searched + 1
            view = event_views.view(entry.id, entry.fields)
            if wanted.matches(view):
                value = _value(view, by, wanted.limits)
                value = value if value in counts or len(counts) < _MOST_ROWS else _OTHERS
                counts[value] += 1
                newest.setdefault(value, entry.id)
    # Times are shown in their order, the last ones; everything else with the most frequent first.
    found = sorted(counts.items()) if by in _TIMES else counts.most_common()
    shown = found[-most_rows:] if by in _TIMES else found[:most_rows]
    return CountResult(
        stream=stream,
        by=by,
        rows=[CountRow(value=value, count=count, last_id=newest[value]) for value, count in shown],
        total=counts.total(),
        omitted=len(found) - len(shown),
        searched=searched,
        back_to=None if after is None else ids.moment(after),
        complete=complete,
    )


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
            found = slack.conversation_of(payload, "thread")
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

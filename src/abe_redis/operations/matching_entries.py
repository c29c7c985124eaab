"""Looks at a stream: which entries are shown, in which order, and waiting for new ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import anyio.lowlevel

from abe_redis.client.connections import Connections
from abe_redis.operations import event_views
from abe_redis.operations.filters import Filter
from abe_redis.schemas import EventView, ReadResult
from abe_redis.streams import ids, peek
from abe_redis.streams.page_size import PageSize

_SCANNED = 2000
"""Entries that a filtered read searches in one call."""
_SCANNED_BYTES = 16 * 1024 * 1024
"""Bytes of payloads after which it stops, too."""
_PAGE = 100
"""Most entries that are read at once."""


@dataclass(slots=True)
class _Search:
    """The entries that a search has found, and how far it has come."""

    found: list[EventView]
    last: str | None
    """The id of the last entry that was looked at."""
    scanned: int = 0
    more: bool = True

    def note(self, wanted: Filter) -> str:
        """The result in a sentence."""
        if self.found:
            return "Nothing was changed."
        if not wanted.is_about_content:
            return "No event here lies in that time." if wanted.is_given else "There is no event here."
        if not self.more or self.last is None:
            return f"No event here matches: none of the {self.scanned:,} there are.{wanted.doubt}"
        where = f"{ids.moment(self.last):%Y-%m-%d %H:%M} UTC"
        return f"None in the {self.scanned:,} looked at, as far as {where}; more with start={self.last}."


async def look(
    connections: Connections,
    stream: str,
    *,
    count: int,
    start: str | None,
    order: peek.Order,
    wanted: Filter,
    wait_seconds: float,
) -> ReadResult:
    """Show entries and change nothing."""
    search = _Search([], start)
    if order == "oldest" and start is None and wanted.since is not None:
        search.last = ids.before(wanted.since)
    if order == "newest" and start is None and wanted.until is not None:
        search.last = wanted.until
    async with wanted.limits.turn():
        await _search(connections, stream, search, count, order, wanted)
    if not (search.found or search.more) and wait_seconds and (order == "oldest" or start is None):
        behind = search.last if order == "oldest" and search.last else "$"
        search.found, last = await _wait(connections, stream, behind, count, wanted, wait_seconds)
        if order == "oldest" and last != behind:
            search.last, search.more = last, True
    note = search.note(wanted)
    if not search.found and wanted.since is not None:
        note += await _about_time_to_come(connections, wanted.since)
    return ReadResult(
        stream=stream,
        mode="peek",
        events=search.found,
        next_start=search.last if search.more else None,
        note=note,
    )


async def _about_time_to_come(connections: Connections, since: str) -> str:
    """That the beginning of a time is still to come, if it is."""
    now = await peek.now(connections.commands)
    if ids.order(since)[0] <= now * 1000:
        return ""
    says = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S}"
    return f" It begins later than now: the server's clock says {says} UTC."


async def _search(
    connections: Connections, stream: str, search: _Search, count: int, order: peek.Order, wanted: Filter
) -> None:
    """Look at entries in order until there are enough, none is left, or enough was looked at."""
    pages = PageSize(_PAGE if wanted.is_given else count, _SCANNED_BYTES)
    while search.more and search.scanned < _SCANNED and not pages.is_spent() and len(search.found) < count:
        asked = pages.count
        page = await peek.entries(connections.commands, stream, after=search.last, count=asked, order=order)
        search.more = len(page) == asked
        pages.note(entry.fields for entry in page)
        for place, entry in enumerate(page, 1):
            if order == "newest" and wanted.since and ids.order(entry.id) < ids.order(wanted.since):
                search.more = False
                return
            await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
            search.last, search.scanned = entry.id, search.scanned + 1
            shown = event_views.view(entry.id, entry.fields)
            if wanted.matches(shown):
                search.found.append(shown)
                if len(search.found) == count:
                    beyond = []
                    if search.more:
                        last = page[-1].id
                        beyond = await peek.entries(
                            connections.commands, stream, after=last, count=1, order=order
                        )
                    search.more = _goes_on([*page[place:], *beyond], wanted, is_end=not beyond)
                    return


def _goes_on(rest: Sequence[peek.Entry], wanted: Filter, *, is_end: bool) -> bool:
    """Whether these entries hold a wanted one, or wanted ones may stand behind them."""
    if any(wanted.matches(event_views.view(one.id, one.fields)) for one in rest):
        return True
    if is_end:
        return False
    last = ids.order(rest[-1].id)
    return (wanted.since is None or last >= ids.order(wanted.since)) and (
        wanted.until is None or last < ids.order(wanted.until)
    )


async def wait_for_news(
    connections: Connections, stream: str, *, count: int, wanted: Filter, wait_seconds: float
) -> ReadResult:
    """Wait for events published from now on; `next_start` is where to continue, so that none is missed."""
    newest = await peek.entries(connections.commands, stream, after=None, count=1, order="newest")
    behind = newest[0].id if newest else "0-0"
    found, last = await _wait(connections, stream, behind, count, wanted, wait_seconds)
    what = "event that matches" if wanted.is_about_content else "event"
    return ReadResult(
        stream=stream,
        mode="peek",
        events=found,
        next_start=last,
        note=f"{'New' if found else f'No new {what}'} within {wait_seconds:g} s. To wait for what follows: "
        f"start={last}, order=oldest and wait_seconds.",
    )


async def _wait(
    connections: Connections, stream: str, behind: str, count: int, wanted: Filter, seconds: float
) -> tuple[list[EventView], str]:
    """The wanted entries behind an id, as soon as there are some; and the last id seen."""
    deadline, found = anyio.current_time() + seconds, list[EventView]()
    pages = PageSize(count)
    while not found and not pages.is_spent() and (left := deadline - anyio.current_time()) > 0:
        page = await peek.wait(connections.blocking, stream, after=behind, count=pages.count, seconds=left)
        while page:  # and what came with it
            for entry in page:
                await anyio.lowlevel.checkpoint()
                behind, shown = entry.id, event_views.view(entry.id, entry.fields)
                if wanted.matches(shown):
                    found.append(shown)
                    if len(found) == count:
                        return found, behind
            pages.note(entry.fields for entry in page)
            if pages.is_spent():
                break
            page = await peek.entries(
                connections.commands, stream, after=behind, count=pages.count, order="oldest"
            )
    return found, behind

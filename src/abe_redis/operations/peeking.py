"""Looking at a stream: what is shown, in which order, and waiting for what comes."""

from dataclasses import dataclass

import anyio

from abe_redis.client.connections import Connections
from abe_redis.events import slack
from abe_redis.operations import event_views
from abe_redis.schemas import EventView, ReadResult
from abe_redis.streams import ids, peek


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: the events that match every given field."""

    event_type: str | None = None
    channel: str | None = None
    user: str | None = None
    since: str | None = None
    """No event before this id."""

    @property
    def is_given(self) -> bool:
        """Whether it excludes any event."""
        return any((self.event_type, self.channel, self.user, self.since))

    def matches(self, view: EventView) -> bool:
        """Whether an event matches."""
        payload = view.payload or {}
        return (
            self.event_type in {None, view.event_type}
            and (self.channel is None or self.channel in slack.channels_of(payload))
            and (self.user is None or self.user in slack.users_of(payload))
            and (self.since is None or ids.order(view.id) >= ids.order(self.since))
        )


_SCANNED = 2000
"""Entries that a filtered read searches in one call."""
_PAGE = 100


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
    found: list[EventView] = []
    after, scanned, more = start, 0, True
    if order == "oldest" and start is None and wanted.since is not None:
        after = ids.before(wanted.since)
    page_size = _PAGE if wanted.is_given else count
    while more and len(found) < count and scanned < _SCANNED:
        page = await peek.entries(connections.commands, stream, after=after, count=page_size, order=order)
        more = len(page) == page_size
        for entry in page:
            after, scanned = entry.id, scanned + 1
            shown = event_views.view(entry.id, entry.fields)
            if order == "newest" and wanted.since and ids.order(entry.id) < ids.order(wanted.since):
                more = False
                break
            if wanted.matches(shown):
                found.append(shown)
                if len(found) == count:
                    more = True
                    break
    if not (found or more) and wait_seconds and (order == "oldest" or start is None):
        behind = after if order == "oldest" and after else "$"
        found, last = await _wait(connections, stream, behind, count, wanted, wait_seconds)
        if order == "oldest" and last != behind:
            after, more = last, True
    return ReadResult(
        stream=stream,
        mode="peek",
        events=found,
        next_start=after if more else None,
        note=(
            "Nothing was changed."
            if found
            else "No event here matches."
            if wanted.is_given
            else "There is no event here."
        ),
    )


async def _wait(
    connections: Connections, stream: str, behind: str, count: int, wanted: Filter, seconds: float
) -> tuple[list[EventView], str]:
    """What comes behind an id and is wanted, as soon as there is some; and the last id seen."""
    deadline, found = anyio.current_time() + seconds, list[EventView]()
    while not found and (left := deadline - anyio.current_time()) > 0:
        entries = await peek.wait(connections.blocking, stream, after=behind, count=count, seconds=left)
        behind = entries[-1].id if entries else behind
        seen = [event_views.view(entry.id, entry.fields) for entry in entries]
        found = [one for one in seen if wanted.matches(one)]
    return found, behind

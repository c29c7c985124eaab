"""Finds one event by its id, and its state in each group."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.lowlevel
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client import optional_commands
from abe_redis.events import codec, identity
from abe_redis.events.codec import Fields
from abe_redis.operations import event_views
from abe_redis.operations.checks import check_id
from abe_redis.operations.payload_size import Room
from abe_redis.schemas import GroupState, ReadResult
from abe_redis.streams import brief, dead, dead_fields, ids, names, peek, standings
from abe_redis.streams.page_size import PageSize

_LIKE_AN_ID = re.compile(r"\d{10,}-\d+", re.ASCII)
"""What is taken for the id of an entry; a publisher may give its events ids such as 17-1."""
_MOST_LETTERS = 1000
"""Dead letters of a stream, the newest, that are searched for an event."""
_NEWEST = 1000
"""Entries of a stream, the newest, that are searched for an event whose id is not remembered."""
_PAGE = 100


def _is_entry_id(said: str) -> bool:
    return _LIKE_AN_ID.fullmatch(said) is not None and ids.is_id(said)


async def find(redis: Redis, streams: Sequence[str], event_id: str, *, lease_seconds: float) -> ReadResult:
    """Find an event, and its state in each group.

    An id that deduplication remembers leads to the event at once. Any other id is searched among the newest
    entries; what no event has as its id may be that of an entry in a short form, as `ack` takes it.

    Args:
        redis: The client.
        streams: Where to look.
        event_id: The event's id as Slack or the publisher gave it, or the id of its entry.
        lease_seconds: As for `peek.pending`.
    """
    for stream in streams:
        entry_id = await _entry_id(redis, stream, event_id)
        entry = None if entry_id is None else await peek.entry(redis, stream, entry_id)
        if entry_id is not None and (entry is not None or not _is_entry_id(event_id)):
            return await _found(redis, stream, entry_id, entry, lease_seconds)
    if not _is_entry_id(event_id) and ids.is_id(event_id, complete=False):  # and no publisher's id
        entry_id = check_id("The id", event_id)
        for stream in streams:
            if (entry := await peek.entry(redis, stream, entry_id)) is not None:
                return await _found(redis, stream, entry_id, entry, lease_seconds)
    where = f"in {streams[0]!r}" if len(streams) == 1 else f"in any of the {len(streams)} streams"
    return ReadResult(
        stream=streams[0] if len(streams) == 1 else "",
        mode="peek",
        missing=True,
        events=[],
        note=f"No event of the id {event_id!r} is remembered {where}, nor is it among the {_NEWEST:,} "
        "newest.",
    )


async def _found(
    redis: Redis, stream: str, entry_id: str, entry: peek.Entry | None, lease_seconds: float
) -> ReadResult:
    """The answer about an event; of one that is not in the stream any more, only its id is known."""
    view = event_views.view(entry_id, entry.fields if entry else None)
    Room(1).bound(view)
    looking = _Looking(redis, stream, lease_seconds)
    handled, is_certain = await looking.handled(entry_id, entry.fields if entry else {})
    note = "Nothing was changed." if entry else await _gone(redis, stream, entry_id)
    if not is_certain:
        note += f" Whether it was redriven is known of the {_NEWEST:,} newest entries only."
    view.stream = stream
    result = ReadResult(stream=stream, mode="peek", events=[view], handled=handled, note=note)
    result.length, result.groups = await brief.brief(redis, stream)
    return result


async def _entry_id(redis: Redis, stream: str, event_id: str) -> str | None:
    if _is_entry_id(event_id):
        return event_id
    newest = await peek.entries(redis, stream, after=None, count=1, order="newest")
    oldest = await peek.entries(redis, stream, after=None, count=1, order="oldest")
    apps = {app for entry in (*newest, *oldest) if (app := _app(entry))}
    own = [event_id, *(identity.joined(app, event_id) for app in sorted(apps))]
    try:
        known = await peek.remembered(redis, stream, [*own, *map(identity.of_agent, own)])
    except ResponseError as error:
        if not optional_commands.is_refused(error):
            raise
        known = None
    if known is not None:
        return known
    after, seen, pages = None, 0, PageSize(_PAGE)
    while page := await peek.entries(redis, stream, after=after, count=pages.count, order="newest"):
        for entry in page:
            await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
            if _payload(entry).get("event_id") == event_id:
                return entry.id
        after, seen = page[-1].id, seen + len(page)
        pages.note(entry.fields for entry in page)
        if seen >= _NEWEST or pages.is_spent():
            break
    return None


def _payload(entry: peek.Entry) -> dict[str, object]:
    try:
        return codec.decode(entry.fields)
    except codec.UndecodableError:
        return {}


def _app(entry: peek.Entry) -> str | None:
    app = _payload(entry).get("api_app_id")
    return app if isinstance(app, str) else None


async def _gone(redis: Redis, stream: str, entry_id: str) -> str:
    """The sentence about an event whose entry is not in the stream any more."""
    oldest = await peek.entries(redis, stream, after=None, count=1, order="oldest")
    is_erased = oldest and ids.order(oldest[0].id) < ids.order(entry_id)
    how = (
        "somebody erased it, whether it was finished or not, as older ones are there"
        if is_erased
        else "it was trimmed, which happens to finished events, or erased, whether it was finished or not"
    )
    return f"It was published under this id and is no longer in the stream: {how}."


_SETTLED = {"done", "skipped", "passed"}
"""States of an event that a group stands behind, and does not have."""


@dataclass(frozen=True, slots=True)
class _Looking:
    """Looks how far the groups of a stream are with an event."""

    redis: Redis
    stream: str
    lease_seconds: float

    async def handled(self, entry_id: str, fields: Fields) -> tuple[list[GroupState], bool]:
        """The state of an event in each group, and whether all its redriven entries were found.

        A group to which the event was redriven gets it with another entry, which says the id of the first.
        """
        said = fields.get(dead.FIRST, b"").decode(errors="replace")
        first_id = said if _is_entry_id(said) else entry_id
        found = await self._standings(first_id)
        states = [_state(one, first_id) for one in found]
        is_certain = True
        if any(one.state in _SETTLED for one in states):
            redriven, is_certain = await _redriven(self.redis, self.stream, first_id)
            for group, again in redriven.items():
                for at, state in enumerate(states):
                    if state.state in _SETTLED and group in {None, state.group}:
                        states[at] = await self._state_of_redriven(state.group, again)
        await self._mark_buried(states, first_id, {one.group: one.anew_at_ms for one in found})
        is_certain = is_certain or all(one.state not in _SETTLED for one in states)
        if not (fields and first_id == entry_id) and not await peek.entry(self.redis, self.stream, first_id):
            for state in states:
                if state.state in {"done", "passed", "undelivered"} and state.redriven_as is None:
                    state.state = "gone"
        return states, is_certain

    async def _mark_buried(
        self, states: list[GroupState], first_id: str, anew_at_ms: dict[str, int | None]
    ) -> None:
        """Say which groups have given up on it, and whether they may have got it again since."""
        if any(one.state in _SETTLED for one in states):
            letters = await _letters(self.redis, self.stream, first_id)
            for state in states:
                if state.state in _SETTLED and state.group in letters:
                    state.state, state.dead_id = "buried", letters[state.group]
                    anew_ms = anew_at_ms[state.group]
                    state.again = anew_ms is None or ids.order(letters[state.group])[0] <= anew_ms

    async def _standings(self, entry_id: str) -> list[standings.Standing]:
        return await standings.standings(self.redis, self.stream, entry_id, lease_seconds=self.lease_seconds)

    async def _state_of_redriven(self, group: str, entry_id: str) -> GroupState:
        found = await self._standings(entry_id)
        (state,) = [_state(one, entry_id) for one in found if one.group == group] or [
            GroupState(group=group, state="passed")
        ]
        state.redriven_as = entry_id
        if state.state == "passed":  # it was there when it gave up on the event, which came again behind that
            state.state = "done"
        return state


async def _redriven(redis: Redis, stream: str, first_id: str) -> tuple[dict[str | None, str], bool]:
    """By group, the newest entry with which an event was redriven; None stands for every group.

    Also whether all entries behind its first one were looked at.
    """
    found: dict[str | None, str] = {}
    after, seen, pages = None, 0, PageSize(_PAGE)
    while seen < _NEWEST and not pages.is_spent():
        page = await peek.entries(redis, stream, after=after, count=pages.count, order="newest")
        for entry in page:
            if ids.order(entry.id) <= ids.order(first_id):
                return found, True
            if entry.fields.get(dead.FIRST) == first_id.encode():
                only = entry.fields.get(dead.ONLY)
                found.setdefault(None if only is None else only.decode(errors="replace"), entry.id)
        if not page:
            return found, True
        after, seen = page[-1].id, seen + len(page)
        pages.note(entry.fields for entry in page)
        await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
    return found, False


def _state(standing: standings.Standing, entry_id: str) -> GroupState:
    row = standing.row
    if row is None:
        state = standing.settled(entry_id) if standing.given else "undelivered"
        return GroupState(group=standing.group, state=state, paused=standing.paused)
    return GroupState(
        group=standing.group,
        state=row.state,
        paused=standing.paused,
        consumer=None if row.consumer.encode() in names.NOBODYS else row.consumer,
        held_seconds=None if row.due_at else row.held_seconds,
        left_by=row.left_by,
        had_by=row.had_by,
        free_at=row.free_at,
        deliveries=row.deliveries,
        due_at=row.due_at,
        reason=row.reason,
    )


async def _letters(redis: Redis, stream: str, entry_id: str) -> dict[str, str]:
    """By the group that gave up on an entry, the id of its newest dead letter."""
    found: dict[str, str] = {}
    after, seen, pages = None, 0, PageSize(_PAGE)
    while (
        seen < _MOST_LETTERS
        and not pages.is_spent()
        and (
            page := await peek.entries(
                redis, names.dead_letters(stream), after=after, count=pages.count, order="newest"
            )
        )
    ):
        pages.note(entry.fields for entry in page)
        for entry in page:
            if entry.fields.get(dead_fields.FIRST_ID) == entry_id.encode():
                group = entry.fields.get(dead_fields.GROUP, b"").decode(errors="replace")
                found.setdefault(group, entry.id)
        after, seen = page[-1].id, seen + len(page)
    return found

"""Reading what a group has not finished: pending entries, and those not delivered yet, in one order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from abe_redis.events.codec import Fields
from abe_redis.streams import dead, ids, names, peek
from abe_redis.streams.info import floor_in
from abe_redis.streams.page_size import PageSize


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An entry that a group has not finished."""

    id: str
    fields: Fields | None
    """None when it was trimmed."""
    row: peek.PendingEntry | None
    """Who has it; None when it is not delivered yet."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the entries that a group has not finished, the oldest first."""

    entries: list[Unfinished]
    after: str | None
    """Where the next page begins; None when there is none."""


async def is_recorded(redis: Redis, stream: str, group: str) -> bool:
    """Whether the position of a group is recorded, so that it is known even after somebody destroyed it."""
    return await redis.hget(names.records(stream), _floor(group)) is not None


def _floor(group: str) -> str:
    return f"floor {group}"


async def pages(
    redis: Redis,
    stream: str,
    group: str | None,
    *,
    after: str | None,
    size: PageSize,
    lease_seconds: float = 0.0,
) -> AsyncIterator[Page]:
    """What a group has not finished, the oldest first, as it is at the moment of each page.

    Args:
        redis: The client.
        stream: The stream.
        group: The group, which may be a destroyed one; None: that of a stream without groups, for which
            everything waits.
        after: Begin behind this id.
        size: How large the pages are, and how large all of them may be.
        lease_seconds: As for `peek.pending`; it matters for who is said to have it.
    """
    while not size.is_spent():
        page = await _page(redis, stream, group, after, size, lease_seconds)
        yield page
        if page.after is None:
            return
        after = page.after


async def _page(
    redis: Redis, stream: str, group: str | None, after: str | None, size: PageSize, lease_seconds: float
) -> Page:
    asked = size.count
    given, rows = after, list[peek.PendingEntry]()
    if group is not None:
        given = await peek.given(redis, stream, group)
        if given is None:
            given = await _recorded(redis, stream, group)
        else:
            rows = await peek.pending(
                *(redis, stream, group),
                after=after,
                count=asked,
                consumer=None,
                lease_seconds=lease_seconds,
            )
    found = {row.id: Unfinished(row.id, row.fields, row) for row in rows}
    read = [row.fields for row in rows]
    ends = [rows[-1].id] if len(rows) == asked else []
    if not ends or given is None or ids.order(ends[0]) > ids.order(given):
        behind = max(filter(None, (after, given)), key=ids.order, default=None)
        new = await peek.entries(redis, stream, after=behind, count=asked, order="oldest")
        ends += [new[-1].id] if len(new) == asked else []
        read += [entry.fields for entry in new]
        for entry in new:
            if group is None or entry.fields.get(dead.ONLY) in {None, group.encode()}:
                found.setdefault(entry.id, Unfinished(entry.id, entry.fields, None))
    # Behind the last of a full page, the other kind of entries is not known.
    last = min(ends, key=ids.order, default=None)
    kept = sorted(
        (one for one in found.values() if last is None or ids.order(one.id) <= ids.order(last)),
        key=lambda one: ids.order(one.id),
    )
    size.note(read)
    return Page(kept, last)


async def _recorded(redis: Redis, stream: str, group: str) -> str | None:
    """The recorded position of a destroyed group; a stream that was made again is entirely unread."""
    floor: Any = await redis.hget(names.records(stream), _floor(group))
    if floor is None:
        return None
    if (recorded := floor_in(floor)) is None:
        return None
    position, added_then, _ = recorded
    facts = await redis.xinfo_stream(stream)
    return position.decode() if facts["entries-added"] >= added_then else None

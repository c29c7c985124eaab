"""How many events come again to a group that is moved, or to which a range is replayed."""

from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.runtime.plurals import count
from abe_redis.streams import dead, ids, manage, peek

MOST = 20_000
"""Entries after which counting stops."""
_PAGE = 200
_FIRST = "0-0"


@dataclass(frozen=True, slots=True)
class ComingAgain:
    """The events that a group had already, and gets again."""

    number: int
    is_all: bool
    """Whether all were counted."""

    @property
    def events(self) -> str:
        """As in "3 events"."""
        return f"{'' if self.is_all else 'at least '}{count(self.number, 'event')}"

    def __str__(self) -> str:
        """As in "3 events come again"."""
        return f"{self.events} {'comes' if self.number == 1 else 'come'} again"


async def after_reset(redis: Redis, stream: str, group: str, position: str) -> ComingAgain:
    """The events that a group gets again after a move to a position."""
    if position == manage.NOW:
        return ComingAgain(0, is_all=True)
    return await _count(redis, stream, group, after=position, upto=None, replay=False)


async def after_replay(redis: Redis, stream: str, group: str, first: str, last: str) -> ComingAgain:
    """The events of a range, both ends included, that a replay delivers again.

    Args:
        redis: The client.
        stream: The stream.
        group: The group.
        first: The first id, or `-`.
        last: The last id, or `+`.
    """
    after = _FIRST if first == "-" else ids.before(first)
    return await _count(redis, stream, group, after=after, upto=None if last == "+" else last, replay=True)


async def _count(
    redis: Redis, stream: str, group: str, *, after: str, upto: str | None, replay: bool
) -> ComingAgain:
    ends = [await peek.given(redis, stream, group) or _FIRST, *([] if upto is None else [_whole(upto)])]
    end = min(ends, key=ids.order)
    number = searched = 0
    async for page in peek.pages(redis, stream, size=_PAGE, after=after):
        found = [entry for entry in page if not _is_later(entry.id, end)]
        held = await _held(redis, stream, group, found) if replay and found else set[str]()
        for entry in found:
            is_copy = replay and await _is_copy(redis, stream, entry, after)
            number += not (entry.id in held or is_copy or _is_for_others(entry, group))
        searched += len(page)
        if len(found) < len(page):
            break
        if searched >= MOST:
            return ComingAgain(number, is_all=False)
    return ComingAgain(number, is_all=True)


async def _held(redis: Redis, stream: str, group: str, page: list[peek.Entry]) -> set[str]:
    """Those of a page that the group has not finished."""
    after, until = ids.before(page[0].id), page[-1].id
    rows = await peek.pending(redis, stream, group, after=after, count=len(page), consumer=None, until=until)
    return {row.id for row in rows}


async def _is_copy(redis: Redis, stream: str, entry: peek.Entry, after: str) -> bool:
    """Whether the entry was redriven, and the range has it as it was published, too."""
    first = entry.fields.get(dead.FIRST, b"").decode(errors="replace")
    return ids.is_id(first) and _is_later(first, after) and await peek.entry(redis, stream, first) is not None


def _is_for_others(entry: peek.Entry, group: str) -> bool:
    return entry.fields.get(dead.ONLY, group.encode()) != group.encode()


def _is_later(one: str, other: str) -> bool:
    return ids.order(one) > ids.order(other)


def _whole(last: str) -> str:
    """The end of a range; a time alone includes its whole millisecond, as for XRANGE."""
    return last if "-" in last else f"{last}-{2**64 - 1}"

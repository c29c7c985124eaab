"""How many events come again to a group that is moved, or to which a range is replayed."""

from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.runtime.plurals import count
from abe_redis.runtime.shell import command, option
from abe_redis.streams import dead, dead_fields, ids, manage, names, peek

MOST = 20_000
"""Entries after which counting stops."""
_PAGE, _MOST_LETTERS, _MOST_BYTES = 200, 10_000, 16 * 1024 * 1024
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


async def letters_in(redis: Redis, stream: str, group: str, first: str, last: str) -> int:
    """The number of events of a range that the stream has and of which a group has a dead letter.

    Args:
        redis: The client.
        stream: The stream.
        group: The group.
        first: The first id, or `-`.
        last: The last id, or `+`.
    """
    begin, end = (_FIRST if first == "-" else first), (ids.LAST if last == "+" else _whole(last))
    found, looked_at = dict[str, set[str]](), 0
    async for page in peek.pages(
        redis, names.dead_letters(stream), size=_PAGE, order="newest", most_bytes=_MOST_BYTES
    ):
        for letter in page:
            if letter.fields.get(dead_fields.GROUP) == group.encode():
                first_id, *others = _event_ids(letter)
                found.setdefault(first_id, set()).update([first_id, *others])
        looked_at += len(page)
        if looked_at >= _MOST_LETTERS:
            break
    number = 0
    for one in found.values():
        within = [each for each in one if ids.order(begin) <= ids.order(each) <= ids.order(end)]
        number += any([await _comes_again(redis, stream, group, each) for each in within])
    return number


async def _comes_again(redis: Redis, stream: str, group: str, entry_id: str) -> bool:
    """Whether the stream has an entry, and the group has finished it."""
    entry = await peek.entry(redis, stream, entry_id)
    return entry is not None and not await _held(redis, stream, group, [entry])


def _event_ids(letter: peek.Entry) -> list[str]:
    """The id with which its event was published, and the one with which it was delivered last."""
    said = [letter.fields.get(name, b"") for name in (dead_fields.FIRST_ID, dead_fields.ENTRY_ID)]
    return [one for one in (each.decode(errors="replace") for each in said) if ids.is_id(one)] or ["0-0"]


def about_letters(stream: str, group: str, number: int) -> str:
    """A sentence, with a space before it, about the events of a replay that have dead letters, if any do."""
    if not number:
        return ""
    have = "One of them has a dead letter" if number == 1 else f"{number} of them have dead letters"
    look = command("dead list", stream, options=option("--group", group))
    redriven = (
        "it as well would deliver that event" if number == 1 else "them as well would deliver those events"
    )
    return f" {have} of this group, too (`{look}`): redriving {redriven} twice."


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

"""Erasing the events of a user or a channel, as people may ask by law."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from enum import IntEnum
from typing import Any

from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError
from abe_redis.events import codec, kinds, slack
from abe_redis.events.authors import authors_of
from abe_redis.operations import given_up
from abe_redis.operations.changing import Change, changing
from abe_redis.operations.dead_letter_search import DeadLetterSearch
from abe_redis.operations.scope import Scope
from abe_redis.operations.slack_ids import given_id
from abe_redis.runtime.plurals import named
from abe_redis.runtime.shell import command
from abe_redis.schemas import ErasedStream, EraseResult
from abe_redis.streams import names, peek
from abe_redis.streams.erase import erase as erase_entries
from abe_redis.streams.given_up import groups as given_up_groups

_PAGE = 100
_MOST_ROUNDS = 20
"""Most readings of a stream and its dead letters, the first of which is the long one."""


class _Relation(IntEnum):
    """The relation of an event to somebody or to a channel."""

    NONE = 0
    MENTIONED = 1
    OWN = 2


class _Wanted:
    """An id, and an expression that finds it in a text, but not as part of a longer id."""

    def __init__(self, wanted: str, *, is_user: bool) -> None:
        self.id = given_id(wanted, "user" if is_user else "channel", consequence="Nothing was erased.")
        self.is_user = is_user
        word = rf"(?<![0-9A-Za-z]){re.escape(self.id)}(?![0-9A-Za-z])"
        self.in_text = re.compile(word)
        self.in_bytes = re.compile(word.encode())


async def erase(
    scope: Scope,
    *,
    user: str | None = None,
    channel: str | None = None,
    mentions: bool = False,
    stream: str | None = None,
    dry_run: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EraseResult:
    """Remove the events of a user or a channel, finished or not, from the streams and their dead letters.

    An event is a user's when that user did it, wrote the message that it is about (also of an edit or a
    deletion), or is the person it is about, as when a profile changes or somebody joins; and when it has a
    message, a file or a comment of the user within it, whoever caused it, as a pin or a shortcut has.
    Whatever else names the user, such as an answer in the user's thread, a reaction, or a text, only mentions
    the user.
    An event is a channel's when it names the id, as a value or as a key, outside of written text (`text` and
    `blocks`). An envelope's fields about the app's own installation do not count. An entry that is not JSON
    is erased when it contains the id.

    Args:
        scope: The streams to search.
        user: A user id, such as `U061F7AUR` or `<@U061F7AUR>`.
        channel: A channel id, such as `C0LAN2Q65`; with `user`, only the user's events in it.
        mentions: Also erase events that only mention the id; without it, the result says how many stay.
        stream: One stream and the partitions of its topic, with their dead letters; by default all streams.
        dry_run: Only count.
        on_progress: Called with the number of entries that were just searched.

    Raises:
        RequestError: Neither user nor channel was given, one is no id of its kind, or the stream does
            not exist or is not allowed by the settings.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused a command; events erased before remain erased.
    """
    wanted = [_Wanted(one, is_user=one is user) for one in (user, channel) if one]
    if not wanted:
        raise InvalidArgumentError("Say whose events to erase: a user id, a channel id or both.")
    result = EraseResult(streams=[], searched=0, dry_run=dry_run)
    uncounted = set[str]()
    # Without the user: the audit must not keep the name of an erased person.
    whose = " in ".join(word for word, one in (("a user", user), ("a channel", channel)) if one)
    look = command("erase", options="--dry-run")
    async with changing(scope, "erase", doing="erasing", look=look, whose=whose) as change:
        redis = change.redis
        home = None if stream is None else scope.consumable(stream)
        sources = await DeadLetterSearch(scope).streams(redis, home)
        least = _Relation.MENTIONED if mentions else _Relation.OWN
        for source in sources:
            async for name, page in _pages(redis, source, lambda: _erased(result)):
                relations = [min(_relation(entry.fields, one) for one in wanted) for entry in page]
                ids = [entry.id for entry, of in zip(page, relations, strict=True) if of >= least]
                result.only_mentioned += sum(_Relation.NONE < of < least for of in relations)
                if ids:
                    await _erase(change, result, uncounted, name, ids)
                result.searched += len(page)
                on_progress(len(page))
        taken_from = [one.stream for one in result.streams if one.unfinished or one.stream in uncounted]
        places = {} if dry_run else {one: await given_up_groups(redis, one) for one in taken_from}
    if any(one.erased for one in result.streams):
        result.note = f"{_WOULD_GO if dry_run else _GONE} {_WHAT_STAYS}"
        if uncounted:
            result.note += f" {_UNCOUNTED}: {named(sorted(uncounted))}."
        result.note += await given_up.confirmed(scope, places)
    return result


_GONE = "No command of Redis shows them any more."
_WOULD_GO = "After that, no command of Redis shows them any more."
_UNCOUNTED = "An answer was lost, so more of the events may have been unfinished than is said, in"
_WHAT_STAYS = (
    "Redis keeps the events of a stream in small blocks. The bytes of an erased one stay in memory, and on "
    "disk, until its neighbours in the block are removed, too, as trimming does, and until each server and "
    "replica has then written its files anew (BGREWRITEAOF and BGSAVE). Backups, outboxes and what handlers "
    "have stored are not touched; nor are reasons that people typed, in the audit and in the dead letters of "
    "others, which may quote somebody."
)


async def _pages(
    redis: Redis, source: str, erased: Callable[[], int]
) -> AsyncIterator[tuple[str, list[peek.Entry]]]:
    """The entries of a stream and of its dead letters, some at a time, each with the place that has it.

    A redrive or a burial may move one behind what was read there, while the other place is read. So what came
    to either meanwhile is read, too, until nothing more of it is erased.
    """
    last: dict[str, str | None] = dict.fromkeys([source, names.dead_letters(source)])
    for _ in range(_MOST_ROUNDS):
        before, is_first = erased(), None in last.values()
        for name, after in last.items():
            async for page in peek.pages(redis, name, size=_PAGE, after=after):
                yield name, page
                last[name] = page[-1].id
            last[name] = last[name] or "0-0"
        if not is_first and erased() == before:
            return


async def _erase(
    change: Change, result: EraseResult, uncounted: set[str], stream: str, ids: list[str]
) -> None:
    """Erase entries of a stream, or count them, and note it.

    Args:
        change: The change.
        result: Where it is noted.
        uncounted: Gets the stream if nobody knows how many of them were unfinished.
        stream: The stream.
        ids: The entries.
    """

    def note(found: tuple[int, int], was_lost: bool) -> None:  # noqa: FBT001 - of a step
        gone = len(ids) if was_lost and not result.dry_run else found[0]
        if found[0] < gone and not names.is_dead_letters(stream):  # an earlier try has erased the others
            uncounted.add(stream)
        if not gone:
            return
        one = next((one for one in result.streams if one.stream == stream), None)
        if one is None:
            result.streams.append(one := ErasedStream(stream=stream, erased=0, unfinished=0))
        one.erased += gone
        one.unfinished += found[1]
        if not result.dry_run:
            change.done = [f"{one.stream} ({one.erased})" for one in result.streams]
            change.facts["erased"] = _erased(result)
            change.facts["streams"] = [one.stream for one in result.streams]

    await change.step(
        lambda: erase_entries(change.redis, stream, ids, dry_run=result.dry_run),
        [] if result.dry_run else [stream],
        note,
    )


def _erased(result: EraseResult) -> int:
    return sum(one.erased for one in result.streams)


def _relation(fields: codec.Fields, wanted: _Wanted) -> _Relation:
    try:
        payload = codec.decode(fields)
    except codec.UndecodableError:
        found = any(wanted.in_bytes.search(value) for value in fields.values())
        return _Relation.OWN if found else _Relation.NONE
    if wanted.is_user and (wanted.id in slack.owners_of(payload) or wanted.id in authors_of(payload)):
        return _Relation.OWN
    relation = _Relation.NONE
    for value, is_written in _strings(kinds.event_of(payload)):
        if value == wanted.id and not (is_written or wanted.is_user):
            return _Relation.OWN
        if wanted.in_text.search(value):
            relation = _Relation.MENTIONED
    return relation


_WRITTEN = {"text", "blocks", "title_blocks"}
"""Fields of written text; Slack's own client writes mentions as elements of blocks."""


def _strings(value: Any) -> Iterator[tuple[str, bool]]:  # noqa: ANN401 - any JSON
    """Every string and every key in a JSON value, and whether it is within written text.

    It does not recurse, since the value may be nested deeply.
    """
    left = [(value, False)]
    while left:
        one, is_written = left.pop()
        if isinstance(one, str):
            yield one, is_written
        elif isinstance(one, dict):
            for name, item in one.items():
                yield name, is_written
                left.append((item, is_written or name in _WRITTEN))
        elif isinstance(one, list):
            left += [(item, is_written) for item in one]

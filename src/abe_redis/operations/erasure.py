"""Erasing the events of a user or a channel, as people may ask by law."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from redis.asyncio import Redis

from abe_redis.errors import RequestError
from abe_redis.events import codec, kinds
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.scope import Scope
from abe_redis.schemas import ErasedStream, EraseResult
from abe_redis.streams import names, peek
from abe_redis.streams.erase import erase as erase_entries

_PAGE = 100


class _Wanted:
    """An id, and an expression that finds it in a text, but not as part of a longer id."""

    def __init__(self, wanted: str) -> None:
        self.id = wanted
        word = rf"(?<![0-9A-Za-z]){re.escape(wanted)}(?![0-9A-Za-z])"
        self.in_text = re.compile(word)
        self.in_bytes = re.compile(word.encode(errors="replace"))


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

    An event is a user's when the Slack event inside names the id, as a value or as a key, outside of written
    text: as the author, the target of a reaction, or a new member, for example. Written text (`text` and
    `blocks`) only mentions an id. An envelope's fields about the app's own installation do not count. An
    entry that is not JSON is erased when it contains the id.

    Args:
        scope: The streams to search.
        user: A user id, such as `U061F7AUR`.
        channel: A channel id, such as `C0LAN2Q65`; with `user`, only the user's events in it.
        mentions: Also erase events that only mention the id, in a text or in blocks.
        stream: One stream and its dead letters; by default all streams.
        dry_run: Only count.
        on_progress: Called with the number of entries that were just searched.

    Raises:
        RequestError: Neither user nor channel was given, or the settings do not allow the stream.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused a command; events erased before remain erased.
    """
    wanted = [_Wanted(one) for one in (user, channel) if one]
    if not wanted:
        raise RequestError("Say whose events to erase: a user id, a channel id or both.")
    result = EraseResult(streams=[], searched=0, dry_run=dry_run)
    async with scope.redis("erasing") as redis:
        if stream is not None:
            sources = [scope.consumable(stream)]
        else:
            sources = await DeadLetters(scope).sources(redis)
        for source in sources:
            for name in (source, names.dead_letters(source)):
                searched, erased = await _erase_in(
                    redis, name, wanted, mentions=mentions, dry_run=dry_run, on_progress=on_progress
                )
                result.searched += searched
                if erased.erased:
                    result.streams.append(erased)
    if not dry_run:
        # Not whose: what is erased must not stay here by name.
        whose = " in ".join(word for word, one in (("a user", user), ("a channel", channel)) if one)
        count = sum(one.erased for one in result.streams)
        await scope.note("erase", erased=count, whose=whose, streams=[one.stream for one in result.streams])
    return result


async def _erase_in(
    redis: Redis,
    stream: str,
    wanted: list[_Wanted],
    *,
    mentions: bool,
    dry_run: bool,
    on_progress: Callable[[int], None],
) -> tuple[int, ErasedStream]:
    searched, erased, unfinished = 0, 0, 0
    async for page in peek.pages(redis, stream, size=_PAGE):
        ids = [
            entry.id
            for entry in page
            if all(_concerns(entry.fields, one, mentions=mentions) for one in wanted)
        ]
        if dry_run:
            erased += len(ids)
        elif ids:
            gone, open_ = await erase_entries(redis, stream, ids)
            erased += gone
            unfinished += open_
        searched += len(page)
        on_progress(len(page))
    counted = None if dry_run else unfinished
    return searched, ErasedStream(stream=stream, erased=erased, unfinished=counted)


def _concerns(fields: codec.Fields, wanted: _Wanted, *, mentions: bool) -> bool:
    try:
        payload = codec.decode(fields)
    except codec.UndecodableError:
        return any(wanted.in_bytes.search(value) for value in fields.values())
    return any(
        (value == wanted.id and not is_written) or (mentions and wanted.in_text.search(value))
        for value, is_written in _strings(kinds.event_of(payload))
    )


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

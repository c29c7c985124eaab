"""Adding an event to a stream, once."""

from collections.abc import Mapping, Sequence
from itertools import batched, chain, groupby
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from abe_redis.client.calls import Words
from abe_redis.events.codec import DATA, MENTION, Fields
from abe_redis.events.mentions import Mention
from abe_redis.events.published import Published
from abe_redis.streams import names, seen, slots
from abe_redis.streams.outcomes import Outcomes
from abe_redis.streams.scripts import Argument, Script

OWN_ID_SECONDS = 3600
"""Time for which an id is remembered that protects only against our own retries."""

HEALTH_CHECKS_KEPT = 100


class Draft(NamedTuple):
    """An entry to add, unless an event of its id was added before."""

    stream: str
    """A checked name."""
    fields: Fields
    event_id: str
    """The identity of the event."""
    attempt: str
    """A random word for each call, the same in its retries."""
    remember_seconds: float
    """Time for which `event_id` is remembered; 0 adds without a check."""

    @property
    def size(self) -> int:
        """Its approximate size in bytes."""
        return len(self.fields[DATA])


_PUBLISH = Script.load("publish")
_PUBLISH_SETTLED = Script.load("publish_settled")
_PUBLISH_ALONE = Script.load("publish_alone")

type Answer = bytes | list[bytes | Exception]
type Row = Published | Exception | None
"""The result of an entry; an error if it was refused; None if it must be sent again."""

LOOKED_AFTER = 2**32 // 128
"""Of the numbers of events, those below: `publish` adds them, which looks whether buckets are full."""


def command(drafts: Sequence[Draft], views: seen.Views, *, hard_maxlen: int, in_full: bool = False) -> Words:
    """The command that adds entries in order, each unless an event of its id was added before.

    Sending it again with the same attempts is safe, also when the answer to the first try was
    lost: there is one entry of each, and it is not called a duplicate.

    Args:
        drafts: The entries; few enough not to block the server.
        views: What is known of their streams.
        hard_maxlen: Most entries of a stream.
        in_full: Send the script itself instead of its digest.

    Returns:
        A command, whose answer `rows` reads.
    """
    script, keys, arguments = _said(drafts, views, hard_maxlen)
    return script.command(keys, arguments, in_full=in_full)


def rows(drafts: Sequence[Draft], views: seen.Views, answer: Answer) -> list[Row]:
    """The result of each entry in the answer to `command`; more is known of the streams then."""
    if len(drafts) == 1 and not isinstance(answer, list):
        head, _, only = answer.partition(b"\n")
        stream = drafts[0].stream
        return [_row(only, views.learn(stream, head), stream)]
    lines = iter(answer if isinstance(answer, list) else answer.split(b"\n"))
    found: list[Row] = []
    kind, length = None, 0
    for stream, fields, _, _, seconds in drafts:
        if (its_kind := (stream, seconds, len(fields), MENTION in fields)) != kind:  # as `_kind`
            kind = its_kind
            length = views.learn(stream, cast("bytes", next(lines)))
        line = next(lines)
        if isinstance(line, Exception):
            found.append(line)
            continue
        found.append(_row(line, length, stream))
        length += line[:1].isdigit()
    return found


def _row(line: bytes, length: int, stream: str) -> Published | None:
    """The result in an entry's line, when its stream had that length before."""
    if line[:1].isdigit():
        return Published(line.decode(), False, length + 1, stream)  # noqa: FBT003 - faster than by name
    if line == b"?":
        return None
    return Published(line[1:].decode(), line.startswith(b"!"), length, stream)


async def publish(
    redis: Redis,
    drafts: Sequence[Draft],
    views: seen.Views | None = None,
    *,
    hard_maxlen: int,
    outcomes: Outcomes | None = None,
) -> list[Published]:
    """Add entries by `command`, one per cluster slot.

    Args:
        redis: The client.
        drafts: The entries.
        views: What is known of their streams.
        hard_maxlen: Most entries of a stream.
        outcomes: What earlier tries have made of the entries, by their places; those that were added are not
            sent again. Whatever becomes of this try is noted there.

    Raises:
        redis.ResponseError: One was refused, as with STREAMFULL when the stream is that long; others of
            them may have been added.
    """
    views = seen.Views() if views is None else views
    outcomes = Outcomes() if outcomes is None else outcomes
    found: dict[int, Row] = {at: outcomes.added.get(at) for at in range(len(drafts))}
    while left := [at for at, row in found.items() if row is None]:
        places: dict[str, list[int]] = {}
        for at in left:
            places.setdefault(drafts[at].stream, []).append(at)

        async def add(some: Sequence[str], places: dict[str, list[int]] = places) -> list[tuple[int, Row]]:
            theirs = sorted(chain.from_iterable(places[stream] for stream in some))
            sent = [drafts[at] for at in theirs]
            script, keys, arguments = _said(sent, views, hard_maxlen)
            with outcomes.awaited(theirs):
                results = rows(sent, views, await script(redis, keys, arguments))
            for at, result in zip(theirs, results, strict=True):
                outcomes.learn(at, result)
            return list(zip(theirs, results, strict=True))

        found.update(chain.from_iterable(await slots.each(slots.by_slot(redis, list(places)), add)))
    results = []
    for row in found.values():
        if not isinstance(row, Published):
            raise cast("Exception", row)
        results.append(row)
    return results


def _kind(draft: Draft) -> tuple[str, float, int, bool]:
    """The properties that the entries of a run have in common."""
    return draft.stream, draft.remember_seconds, len(draft.fields), MENTION in draft.fields


type Said = tuple[Script, list[str], list[Argument]]
"""A script, its keys and arguments."""


def _said(drafts: Sequence[Draft], views: seen.Views, hard_maxlen: int) -> Said:
    """How to add entries: by the script that takes fewer steps, if they are all as it wants them."""
    said = _said_alone(drafts[0], views, hard_maxlen) if len(drafts) == 1 else None
    return said or _said_settled(drafts, views, hard_maxlen) or _said_in_full(drafts, views, hard_maxlen)


def _said_alone(draft: Draft, views: seen.Views, hard_maxlen: int) -> Said | None:
    stream, fields, event_id, attempt, remember_seconds = draft
    view = views.of(stream)
    chosen = seen.number(event_id)
    if (
        view.has_earlier
        or view.low != view.level
        or not remember_seconds
        or chosen < LOOKED_AFTER
        or MENTION in fields
    ):
        return None
    state, seconds, lasting, (name, buckets), _ = seen.place(stream, view, remember_seconds)
    keys = [stream, state, f"{name}{chosen % buckets}"]
    said, mark = seen.field(event_id), seen.mark(attempt, seconds)
    entry = chain.from_iterable(fields.items())
    return _PUBLISH_ALONE, keys, [hard_maxlen, view.said, lasting, said, mark, *entry]


def _said_settled(drafts: Sequence[Draft], views: seen.Views, hard_maxlen: int) -> Said | None:
    keys, arguments = list[str](), list[Argument]([hard_maxlen])
    lower = list[tuple[str, int]]()
    kind, name, buckets, seconds, entries, at = None, "", 1, "", 0, 0
    for stream, fields, event_id, attempt, remember_seconds in drafts:
        chosen = seen.number(event_id)
        if (found := (stream, remember_seconds, len(fields))) != kind:
            view = views.of(stream)
            if view.has_earlier or not remember_seconds or (not keys and chosen < LOOKED_AFTER):
                return None
            kind, entries, at = found, 0, len(arguments) + 1
            state, seconds, lasting, (name, buckets), lower = seen.place(stream, view, remember_seconds)
            keys += (stream, state)
            arguments += (view.said, 0, len(lower), lasting, 2 * len(fields))
        if len(fields) == 1:
            arguments += (seen.field(event_id), seen.mark(attempt, seconds), DATA, fields[DATA])
        elif MENTION in fields:
            return None
        else:
            arguments += (seen.field(event_id), seen.mark(attempt, seconds))
            arguments += chain.from_iterable(fields.items())
        keys.append(f"{name}{chosen % buckets}")
        if lower:
            keys += [f"{below}{chosen % count}" for below, count in lower]
        entries += 1
        arguments[at] = entries
    return _PUBLISH_SETTLED, keys, arguments


def _said_in_full(drafts: Sequence[Draft], views: seen.Views, hard_maxlen: int) -> Said:
    keys, arguments = list[str](), list[Argument]([hard_maxlen])
    for (stream, remember_seconds, _, is_mention), group in groupby(drafts, _kind):
        run = list(group)
        view = views.of(stream)
        has_earlier = view.has_earlier
        keys += (stream, seen.state(stream))
        arguments += (
            len(run),
            round(remember_seconds * 1000),
            view.low,
            view.high,
            int(has_earlier),
            int(is_mention),
        )
        for _, fields, event_id, attempt, _ in run:
            keys += seen.buckets(stream, event_id, view)
            arguments += (seen.field(event_id), seen.mark(attempt, seen.written(remember_seconds)))
            if has_earlier:
                keys.append(names.seen(stream, event_id))
            if is_mention:
                mentioned, key = Mention.read(fields[MENTION])
                keys.append(names.mention(stream, key))
                arguments.append(mentioned)
            arguments += (2 * len(fields), *chain.from_iterable(fields.items()))
    return _PUBLISH, keys, arguments


_PUBLISH_HEALTH_CHECK = Script.load("publish_health_check")


async def publish_health_check(
    redis: Redis, stream: str, fields: Fields, *, hard_maxlen: int
) -> list[Published]:
    """Add a health check, and let about 100 of them stay in a stream that holds nothing else.

    Raises:
        redis.ResponseError: STREAMFULL, when the stream has `hard_maxlen` entries.
    """
    arguments: list[Argument] = [hard_maxlen, HEALTH_CHECKS_KEPT, *chain.from_iterable(fields.items())]
    entry_id, length = await _PUBLISH_HEALTH_CHECK(redis, [stream, names.records(stream)], arguments)
    return [Published(id=entry_id.decode(), duplicate=False, length=length, stream=stream)]


async def append(redis: Redis, stream: str, fields: Mapping[str, str], *, kept: int) -> None:
    """Add an entry to a stream of ours without consumers, and keep about its last entries."""
    await redis.xadd(stream, dict[Any, Any](fields), maxlen=kept, approximate=True)


_ANNOUNCE = Script.load("announce")


async def announce(redis: Redis, streams: list[str]) -> None:
    """Write streams into the index in which consumers find new ones."""
    for some in batched(streams, slots.MANY_STREAMS):
        await _ANNOUNCE(redis, [names.INDEX], some)


async def announce_here(redis: Redis, streams: list[str]) -> None:
    """The same, unless the node of the index is away: until it is back, consumers ask for news themselves."""

    async def tell() -> None:
        if slots.is_here(redis, names.INDEX):
            await announce(redis, streams)

    await slots.without_away(redis, tell)


_UNANNOUNCE = Script.load("unannounce")

_UNANNOUNCED_SECONDS = 45
"""Longer than the time after which a publisher announces a stream again: so its next event is announced."""


async def unannounce(redis: Redis, streams: list[str]) -> None:
    """Remove deleted streams from the index, except those that somebody has announced lately."""
    for some in batched(streams, slots.MANY_STREAMS):
        await _UNANNOUNCE(redis, [names.INDEX], [_UNANNOUNCED_SECONDS, *some])

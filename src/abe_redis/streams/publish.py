"""Adding an event to a stream, once."""

from collections.abc import Mapping, Sequence
from itertools import batched, chain
from typing import Any, NamedTuple

from redis.asyncio import Redis

from abe_redis.client.calls import Words
from abe_redis.events.codec import DATA, MENTION, Fields
from abe_redis.events.mentions import Mention
from abe_redis.events.published import Published
from abe_redis.streams import names, slots
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


def command(drafts: Sequence[Draft], *, hard_maxlen: int, in_full: bool = False) -> Words:
    """The command that adds entries in order, each unless an event of its id was added before.

    Sending it again with the same attempts is safe, also when the answer to the first try was
    lost: there is one entry of each, and it is not called a duplicate.

    Args:
        drafts: The entries; few enough not to block the server.
        hard_maxlen: Most entries of a stream.
        in_full: Send the script itself instead of its digest.

    Returns:
        A command, whose answer `rows` reads.
    """
    return _PUBLISH.command(*_said(drafts, hard_maxlen), in_full=in_full)


type Row = bytes | Exception
type Answer = bytes | list[Row]


def rows(answer: Answer) -> list[Row]:
    """The row for each entry in the answer to `command`; an error for one that was refused."""
    return answer if isinstance(answer, list) else list[Row](answer.split(b"\n"))


def published(draft: Draft, row: bytes) -> Published:
    """The result in a row of the answer, unless it is an error."""
    entry_id, duplicate, length = row.split(b" ")
    return Published(entry_id.decode(), duplicate == b"1", int(length), draft.stream)


async def publish(redis: Redis, drafts: Sequence[Draft], *, hard_maxlen: int) -> list[Published]:
    """Add entries by `command`, one per cluster slot.

    Raises:
        redis.ResponseError: One was refused, as with STREAMFULL when the stream is that long; others of
            them may have been added.
    """
    streams = list(dict.fromkeys(draft.stream for draft in drafts))
    places = {stream: list[int]() for stream in streams}
    for at, draft in enumerate(drafts):
        places[draft.stream].append(at)

    async def add(some: Sequence[str]) -> list[tuple[int, Row]]:
        theirs = sorted(chain.from_iterable(places[stream] for stream in some))
        answer = await _PUBLISH(redis, *_said([drafts[at] for at in theirs], hard_maxlen))
        return list(zip(theirs, rows(answer), strict=True))

    found = dict(chain.from_iterable(await slots.each(slots.by_slot(redis, streams), add)))
    results = []
    for at, draft in enumerate(drafts):
        row = found[at]
        if isinstance(row, Exception):
            raise row
        results.append(published(draft, row))
    return results


def _said(drafts: Sequence[Draft], hard_maxlen: int) -> tuple[list[str], list[Argument]]:
    """The script's keys and arguments."""
    keys, arguments = list[str](), list[Argument]([hard_maxlen])
    for stream, fields, event_id, attempt, remember_seconds in drafts:
        keys += (stream, names.seen(stream, event_id))
        remember_ms = round(remember_seconds * 1000)
        if len(fields) == 1:
            arguments += (attempt, remember_ms, "", 2, DATA, fields[DATA])
            continue
        mentioned = ""
        if MENTION in fields:
            mentioned, key = Mention.read(fields[MENTION])
            keys.append(names.mention(stream, key))
        arguments += (attempt, remember_ms, mentioned, 2 * len(fields))
        arguments += chain.from_iterable(fields.items())
    return keys, arguments


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

"""What a consumer logs about a group that it has made: a mistyped name handles all history again."""

import logging
from collections.abc import Sequence
from difflib import get_close_matches

from redis.asyncio import Redis

from abe_redis.runtime import plurals
from abe_redis.runtime.shell import command
from abe_redis.streams.groups import history
from abe_redis.streams.names import topic_of

_LOG = logging.getLogger(__name__)

_LIKENESS = 0.75
_MOST_NAMED = 3


async def tell(
    redis: Redis, group: str, streams: Sequence[str], *, began: float, topic: str | None = None
) -> None:
    """Say that a group is new, where it begins, what waits for it, and which group was perhaps meant.

    Nothing is said of streams that are as new as the consumer.

    Args:
        redis: The client.
        group: The group, which was just made at the beginning of the streams.
        streams: Where it was made.
        began: When the consumer began, in seconds since the epoch.
        topic: The topic of the queue, if it is read although no pattern names it.

    Raises:
        redis.RedisError: The server refused to tell, or could not be reached.
    """
    older, waiting, others = list[str](), 0, dict[str, None]()
    for stream in streams:
        found = await history(redis, stream)
        if found is not None and found.began < began:
            older.append(stream)
            waiting += found.length
            others |= dict.fromkeys(found.groups)
    others.pop(group, None)
    if older:
        level = logging.WARNING if others else logging.INFO
        said = _sentence(group, older, waiting, list(others))
        if topic is not None and any(topic in {stream, topic_of(stream)} for stream in older):
            said += (
                f" {topic!r} is not in REDIS_STREAM_PATTERNS; it is read because it is the topic of the "
                "queue (SLACK_EVENTS_TOPIC), which counts as one of the patterns."
            )
        _LOG.log(level, "%s", said)


def _sentence(group: str, streams: list[str], waiting: int, others: list[str]) -> str:
    where = (
        repr(streams[0])
        if len(streams) == 1
        else f"{plurals.first_of(streams, _MOST_NAMED)} ({len(streams)} streams)"
    )
    said = (
        f"Group {group!r} of {where} is new: it begins at the oldest event, so "
        f"{plurals.count(waiting, 'event')} {'waits' if waiting == 1 else 'wait'} for it"
    )
    if others:
        said += f", which other groups ({plurals.first_of(others, _MOST_NAMED)}) may have handled"
    said += "."
    if meant := get_close_matches(group, others, 1, _LIKENESS):
        remove = command("group remove", streams[0], group, options="--force")
        said += (
            f" Was {meant[0]!r} meant? Then end this consumer, and remove the new group: "
            f"`{remove}`{_and_so_on(streams)}."
        )
    move = command("group reset", streams[0], group, options="--from now --force")
    each = "" if len(streams) == 1 else _and_so_on(streams) if not meant else ", and so for each"
    return (
        f"{said} If that is right, there is nothing to do. To leave out what waits, move the group to "
        f"the end: `{move}`{each}. "
        "Before the first start, `abe-redis group create` with `--from now` does that."
    )


def _and_so_on(streams: list[str]) -> str:
    """What is to be done with further streams than the first."""
    if len(streams) == 1:
        return ""
    where = "" if len(streams) <= _MOST_NAMED else f", which `{command('group list')}` names"
    return f", and so for each of the {len(streams)} streams{where}"

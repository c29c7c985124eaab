"""Groups that stand beyond the end of their stream, and so would skip every event that is published to it.

Our own commands never set a group there, but anybody can with XGROUP SETID or XGROUP CREATE.
"""

import logging
from collections.abc import Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Script
from abe_redis.streams.trail import Trail

_LOG = logging.getLogger(__name__)

_SET_BACK = Script.load("set_back")


async def set_back(redis: Redis, group: str, streams: Sequence[str]) -> dict[str, Trail | None]:
    """Set a group back in the streams beyond whose end it stands, and log that.

    It goes on behind the last event that it is known to have been given, so it also gets what was published
    since somebody had moved it.

    Args:
        redis: The client.
        group: The group.
        streams: Streams; one that does not exist, or has no such group, has nothing to mend.

    Returns:
        The trail of the group's records in each stream.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    answers = await _SET_BACK.each(
        redis,
        streams,
        [group],
        keys=lambda some: [key for one in some for key in (one, names.records(one))],
        most=slots.MANY_STREAMS,
    )
    for stream, (moved, _) in zip(streams, answers, strict=True):
        say_set_back(stream, group, moved)
    return {stream: Trail.read(trail) for stream, (_, trail) in zip(streams, answers, strict=True)}


def say_set_back(stream: str, group: str, moved: bytes) -> None:
    """Log that a group was set back, if it was.

    Args:
        stream: The stream.
        group: The group.
        moved: The new and the former position, as a script answers; empty if the group was well.
    """
    if moved:
        position, former = moved.decode().split()
        _LOG.warning(
            "Group %r of %r stood at %s, beyond the end of the stream, and skipped every event: somebody had "
            "set it there by hand (XGROUP SETID or CREATE). It goes on %s.",
            group,
            stream,
            former,
            "at the oldest event, as nothing says which events it was given"
            if position == "0-0"
            else f"behind {position}, the last event that it was given",
        )

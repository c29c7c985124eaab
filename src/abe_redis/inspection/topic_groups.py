"""The groups that other streams of a topic have, for the advice about those that have none."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client.optional_commands import is_refused
from abe_redis.inspection.health import judge
from abe_redis.schemas import StreamStats
from abe_redis.schemas.stats import AGENTS
from abe_redis.settings import Settings
from abe_redis.streams import names, peek, slots
from abe_redis.streams.find_streams import announced


async def name_groups(
    redis: Redis, found: Sequence[StreamStats], settings: Settings, is_seen: Callable[[str], bool]
) -> None:
    """Judge the streams that nobody reads anew, now that the groups of their topics are known.

    Args:
        redis: The client.
        found: Streams; those that nobody reads get other advice.
        settings: As for `judge`.
        is_seen: Tells whether the caller may hear of a stream.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    if unread := [one for one in found if one.health == "unread"]:
        beside = await _beside(redis, [one.stream for one in unread], is_seen)
        for one in unread:
            one.topic_groups = beside[_topic(one.stream)]
            one.health, one.advice = judge(one, settings)


async def groups_beside(redis: Redis, stream: str, is_seen: Callable[[str], bool]) -> list[str]:
    """The groups that the other streams of a stream's topic have; `is_seen` as for `name_groups`."""
    return (await _beside(redis, [stream], is_seen))[_topic(stream)]


async def _beside(
    redis: Redis, streams: Sequence[str], is_seen: Callable[[str], bool]
) -> defaultdict[str, list[str]]:
    """Per topic of some streams without a group, the groups of its other streams."""
    wanted, found = {_topic(one) for one in streams}, defaultdict[str, list[str]](list)
    index = await announced(redis, 0) if slots.is_here(redis, names.INDEX) else {}
    for one in sorted({*index, *wanted}.difference(streams)):
        if (topic := _topic(one)) in wanted and is_seen(one) and slots.is_here(redis, one):
            others = [name for name in await _groups(redis, one) if name != AGENTS]
            found[topic] = [*dict.fromkeys([*found[topic], *others])]
    return found


async def _groups(redis: Redis, stream: str) -> list[str]:
    """The groups of a stream; none where this user may not look."""
    try:
        return await peek.groups(redis, stream)
    except ResponseError as error:
        if not is_refused(error):
            raise
        return []


def _topic(stream: str) -> str:
    return names.topic_of(stream) or stream

"""Groups in streams that are still to come: where one may be made, though a name might be mistyped."""

from redis.asyncio import Redis

from abe_redis.errors import RequestError
from abe_redis.operations import topics
from abe_redis.operations.scope import Scope
from abe_redis.streams import manage, names, peek
from abe_redis.streams.find_streams import existing

_MOST_PARTITIONS = 1000
"""Partitions that a topic can have: see `REDIS_STREAM_PARTITIONS`."""


async def is_to_come(
    scope: Scope, redis: Redis, stream: str, *, create: bool, do: topics.ForPart | None = None
) -> bool:
    """Whether a stream does not exist yet, and a group may be made in it all the same.

    A person means a partition of a topic that has streams. Any other name might be mistyped, or be that of a
    topic whose events are in its partitions: it is made only on request.

    Args:
        scope: The settings, and who asks.
        redis: The client.
        stream: The stream.
        create: Whether it was requested.
        do: What the caller would do in a partition, if it is a topic.

    Raises:
        RequestError: It does not exist, and may not be made; or it is a key of another type.
    """
    if await peek.kind(redis, stream) != "none":
        await scope.check_exists(redis, stream)
        return False
    if create or await _is_partition(scope, redis, stream):
        return True
    absence = await scope.absence(redis, stream, do=do)
    if await topics.streams(redis, scope.patterns, stream):
        raise RequestError(
            f"{absence} To make the stream {stream!r} beside these, as when you change the number of "
            "partitions, add --create-stream."
        )
    raise RequestError(f"{absence} To make it, empty, before its first event, add --create-stream.")


async def may_pause(
    scope: Scope,
    redis: Redis,
    stream: str,
    group: str,
    *,
    create: bool,
    do: topics.ForPart | None = None,
) -> bool:
    """Whether pausing makes the group, and perhaps its stream, since they do not exist yet.

    It does for a group that another stream has, so that its worker would make it here, too.

    Raises:
        RequestError: What does not exist may not be made.
    """
    is_new = await is_to_come(scope, redis, stream, create=create, do=do)
    if not is_new and group in await peek.groups(redis, stream):
        return False
    if (is_new and create) or await manage.is_known(redis, await existing(redis, scope.patterns), group):
        return True
    if is_new:
        raise RequestError(
            f"No stream of this queue has a group {group!r}. To pause it in {stream!r} all the same, before "
            "its first worker and its first event, add --create-stream."
        )
    return False


async def _is_partition(scope: Scope, redis: Redis, stream: str) -> bool:
    """Whether a stream is a partition, by its name, of a topic that has streams."""
    topic = names.topic_of(stream)
    if topic is None or int(stream.removeprefix(f"{topic}:p")) >= _MOST_PARTITIONS:
        return False
    found = await existing(redis, scope.patterns)
    return any(topic in {one, names.topic_of(one)} for one in found)

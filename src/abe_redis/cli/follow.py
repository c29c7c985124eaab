"""Reading each event as it comes, as `tail -F` does."""

from contextlib import suppress
from typing import TYPE_CHECKING, Unpack

import anyio

from abe_redis.cli.output import say
from abe_redis.errors import CredentialsRefusedError, RedisUnavailableError, RequestError
from abe_redis.operations.topics import MOST_NAMED
from abe_redis.runtime.plurals import first_of
from abe_redis.runtime.shell import command
from abe_redis.schemas import MAX_COUNT, MAX_WAIT_SECONDS
from abe_redis.streams import ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from abe_redis.operations.filters import Asked
    from abe_redis.operations.operations import Operations
    from abe_redis.schemas import EventView

_PAUSE_SECONDS = 1.0


async def _say_what_is_not_followed(operations: "Operations", stream: str | None) -> None:
    """Say on stderr that a stream does not exist, or that its topic has partitions, which are left out.

    Raises:
        RequestError: It is a topic that exists only as partitions.
    """
    topic, streams = await operations.streams_of(stream)
    if topic in streams:
        if parts := streams[1:]:
            others = f"{first_of(parts, MOST_NAMED)}: `{command('read', parts[0], options='--follow')}`"
            each = " follows that one" if len(parts) == 1 else " follows one of them"
            say(
                f"abe-redis: Only {topic!r} is followed, without its partitions {others}{each}.",
                to_stderr=True,
            )
        return
    absence = await operations.absence(topic)
    if streams:
        raise RequestError(absence)
    say(f"abe-redis: {absence} Waiting for its first event.", to_stderr=True)


async def follow(
    operations: "Operations",
    show: "Callable[[EventView], None]",
    *,
    stream: str | None,
    count: int,
    start: str | None,
    **asked: "Unpack[Asked]",
) -> None:
    """Show the newest events, then each new one, until cancelled. It survives outages of Redis.

    Args:
        show: Called with each event, in the order of the stream.
        stream: By default the host's topic.
        count: Number of newest events to begin with. With `start`, it does not count.
        start: Show all events after this id.
        asked: Show only these.
    """
    let_in = start is None
    with suppress(*(() if let_in else (RedisUnavailableError, CredentialsRefusedError))):
        await _say_what_is_not_followed(operations, stream)
    if start is None:
        latest = await operations.peek(stream=stream, count=1)
        start = latest.events[0].id if latest.events else "0-0"
        if count:  # what has come since is among the newest
            newest = await operations.peek(stream=stream, count=count, max_chars=None, **asked)
            for event in reversed(newest.events):
                show(event)
            start = max([start, *(event.id for event in newest.events)], key=ids.order)
    reported = False
    while True:
        try:
            result = await operations.peek(
                stream=stream,
                count=MAX_COUNT,
                start=start,
                order="oldest",
                wait_seconds=MAX_WAIT_SECONDS,
                max_chars=None,
                **asked,
            )
        except (RedisUnavailableError, CredentialsRefusedError) as error:
            if not let_in and isinstance(error, CredentialsRefusedError):
                raise
            if not reported:
                say(f"abe-redis: {error} Retrying until it is back.", to_stderr=True)
            reported = True
            await anyio.sleep(_PAUSE_SECONDS)
            continue
        let_in, reported = True, False
        for event in result.events:
            show(event)
        start = result.next_start or (result.events[-1].id if result.events else start)

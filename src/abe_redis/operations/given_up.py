"""Waiting until workers have let go of what a person took from them, so that none begins it afterwards."""

from collections.abc import Mapping, Sequence

import anyio
from redis.asyncio import Redis

from abe_redis.errors import AbeRedisError
from abe_redis.operations.scope import Scope
from abe_redis.operations.signs_of_life import workers_there
from abe_redis.runtime import clock
from abe_redis.runtime.plurals import named
from abe_redis.schemas.stats import is_agent, is_person
from abe_redis.streams import given_up
from abe_redis.streams.consumers import ended_in

MOST_SECONDS = 3.0
"""Longest wait for workers; each looks about once a second."""
SILENT_SECONDS = 1.5
"""The same for workers that are silent: after a step of the server's clock, live ones look so, too."""
_EVERY_SECONDS = 0.05
_UNTIL_THEN = "may begin what it has read ahead of them, for up to a third of its lease."


async def confirmed(scope: Scope, places: Mapping[str, Sequence[str]]) -> str:
    """Wait until every worker that is alive has let go of what was taken from it.

    Args:
        scope: The settings, and who asks.
        places: The streams, each with its groups.

    Returns:
        A sentence about those that have not, with a space before it; empty if all have.
    """
    until = clock.now() + MOST_SECONDS
    silent = set[str]()
    try:
        async with scope.redis("asking whether workers have let go of events") as redis:
            for stream, groups in places.items():
                for group in groups:
                    silent |= await _silent(scope, redis, stream, group, until)
    except AbeRedisError as error:  # what was to be done is done
        return f" Whether the workers know of it is not known ({error}): a worker {_UNTIL_THEN}"
    if not silent:
        return ""
    said = f" Not confirmed within {MOST_SECONDS:g} seconds by {named(sorted(silent))}:"
    return f"{said} a worker of that name that is alive {_UNTIL_THEN}"


async def _silent(scope: Scope, redis: Redis, stream: str, group: str, until: float) -> set[str]:
    left = await given_up.unconfirmed(redis, stream, group)
    if not left:
        return left
    left -= await ended_in(redis, group, stream)
    left = {name for name in left if not (is_agent(name) or is_person(name))}
    workers = await workers_there(scope, redis, stream, group)
    alive, silent_until = {name for name in left if workers.get(name, True)}, clock.now() + SILENT_SECONDS
    while left and clock.now() < (until if left & alive else min(until, silent_until)):
        await anyio.sleep(_EVERY_SECONDS)
        left &= await given_up.unconfirmed(redis, stream, group)
    return left & alive

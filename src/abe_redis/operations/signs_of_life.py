"""Waiting for a sign of life of workers that look silent: the server's clock may have been set forward.

By its clock alone, a live worker that waits looks as silent as a dead one until its next sign of life. So it
does when somebody has removed its consumer, or destroyed the group.
"""

from collections.abc import Callable, Mapping

import anyio
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.errors import RequestError
from abe_redis.operations.group_making import not_removed
from abe_redis.operations.scope import Scope
from abe_redis.runtime import clock
from abe_redis.runtime.plurals import named
from abe_redis.schemas import GroupStats
from abe_redis.schemas.stats import is_person, kind_of
from abe_redis.streams.consumers import removed_lately, sign_seconds
from abe_redis.streams.manage import Unfinished

_EVERY_SECONDS = 0.25
_LATE_SECONDS = 2.0
"""By how much a sign of life may be late: a worker gives it with its next tick."""


async def silent_workers(redis: Redis, stream: str, group: GroupStats) -> dict[str, float | None]:
    """The workers that are silent, and have not ended in order, also those whose consumers somebody removed.

    Returns:
        How many seconds the leases of each last, if it has recorded that.
    """
    silent: dict[str, float | None] = {
        one.name: one.lease_seconds
        for one in group.consumers
        if one.kind == "worker" and not (one.alive or one.ended)
    }
    removed = await removed_lately(redis, group.name, stream)
    return silent | {name: seconds for name, seconds in removed.items() if kind_of(name) == "worker"}


async def check_nobody_reads(
    scope: Scope,
    redis: Redis,
    stream: str,
    group: GroupStats,
    silent: Mapping[str, float | None],
    *,
    on_wait: Callable[[str], None],
) -> None:
    """Refuse to remove a group of which a worker is alive; if all look silent, wait for a sign of life.

    Args:
        scope: The settings.
        redis: The client.
        stream: The stream.
        group: The group, which has workers.
        silent: Those that are silent.
        on_wait: Gets the sentence that says so before the wait.

    Raises:
        RequestError: A worker is alive, or something is unfinished.
    """
    if group.pending or group.lag:  # a worker may finish them right before the group would be removed
        raise not_removed(stream, group.name, Unfinished(group.pending, group.lag or 0))
    alive = [one.name for one in group.workers]
    alive = alive or await _heard(scope, redis, stream, group.name, silent, on_wait)
    if alive:
        raise RequestError(
            f"Group {group.name!r} of {stream!r} has consumers that are alive, or were a lease ago "
            f"({', '.join(alive[:5])}); it was not removed. They would make it again, and get everything "
            "from the beginning. Stop them and wait for a lease, or force it (--force)."
        )


async def _heard(
    scope: Scope,
    redis: Redis,
    stream: str,
    group: str,
    silent: Mapping[str, float | None],
    on_wait: Callable[[str], None],
) -> list[str]:
    """The names of the workers that are heard of while the slowest of the silent ones may give a sign."""
    own_seconds = scope.settings.redis_stream_lease_seconds
    seconds = max(sign_seconds(one or own_seconds) for one in silent.values()) + _LATE_SECONDS
    on_wait(
        f"Workers of group {group!r} of {stream!r} are silent and have not ended in order: "
        f"{named(list(silent))}. After a step of the server's clock, live ones look so, too. "
        f"Waiting up to {seconds:.0f} s for a sign of life."
    )
    until = clock.now() + seconds
    while clock.now() < until:
        await anyio.sleep(_EVERY_SECONDS)
        workers = await workers_there(scope, redis, stream, group)  # a live one makes a destroyed group again
        if alive := [name for name, is_alive in workers.items() if is_alive and not is_person(name)]:
            return alive
    return []


async def workers_there(scope: Scope, redis: Redis, stream: str, group: str) -> dict[str, bool]:
    """As `Scope.workers`; none yet in a group that was just made, or that somebody has destroyed."""
    try:
        return await scope.workers(redis, stream, group)
    except ResponseError as error:
        if not str(error).startswith("NOGROUP"):
            raise
        return {}

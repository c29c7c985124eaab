"""What people do to a group by hand: make it, move it, pause it, remove it, replay to it."""

from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.publish import announce
from abe_redis.streams.scripts import Argument, Script

BEGINNING = "0-0"
"""The position before the first entry."""
NOW = "$"
"""The position behind the last entry."""


_CREATE = Script.load("create_group")


async def create(redis: Redis, stream: str, group: str, position: str) -> None:
    """Make a group on a stream that exists, to be given what comes behind a position.

    Raises:
        redis.ResponseError: BUSYGROUP, when it exists.
    """
    await _CREATE(redis, [stream, names.records(stream)], [group, position])


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a group has not finished."""

    pending: int
    """Entries given to consumers and not acked."""
    undelivered: int | None
    """Entries not given to anyone yet; None when Redis cannot tell."""

    def __bool__(self) -> bool:
        return self.pending > 0 or self.undelivered != 0


MOST_PASSED = 100
"""So many undelivered entries that a reset would pass over are counted."""

_RESET = Script.load("reset_group")


async def reset(
    redis: Redis, stream: str, group: str, position: str, *, force: bool
) -> tuple[Unfinished, bool]:
    """Move a group, to be given what comes behind a position (again).

    Returns:
        What it had not finished (of what was not delivered yet what is before the position, and
        `MOST_PASSED` at most), and whether it was moved: not while there is any, unless forced.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    keys = [stream, names.records(stream), names.due(stream, group)]
    pending, passed, moved = await _RESET(redis, keys, [group, position, int(force), MOST_PASSED])
    return Unfinished(pending=pending, undelivered=passed), bool(moved)


_REMOVE = Script.load("remove_group")


async def remove(redis: Redis, stream: str, group: str, *, force: bool) -> tuple[Unfinished, bool]:
    """Remove a group with all that is recorded about it.

    Returns:
        What it had not finished, and whether it was removed: not while there is any, unless forced.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    keys = [stream, names.records(stream), names.due(stream, group)]
    pending, undelivered, removed = await _REMOVE(redis, keys, [group, int(force)])
    return Unfinished(pending=pending, undelivered=None if undelivered < 0 else undelivered), bool(removed)


_REPLAY = Script.load("replay")

_REPLAYED_AT_ONCE = 100
REPLAYER = "replay"
"""The consumer under whose name entries wait that are replayed."""


async def replay(redis: Redis, stream: str, group: str, first: str, last: str) -> int:
    """Deliver entries to one group again, in order; those it has not finished are left alone.

    Args:
        first: Id of the first, or `-`.
        last: Id of the last, or `+`.

    Returns:
        How many will be delivered again.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    total, start = 0, first
    bounds: list[Argument] = []
    replayed: int
    while True:
        arguments: list[Argument] = [group, start, last, _REPLAYED_AT_ONCE, REPLAYER, *bounds]
        replayed, reached, bound = await _REPLAY(redis, [stream], arguments)
        total += replayed
        bounds = [bound]
        if reached is None:
            return total
        start = f"({reached.decode()}"


_PAUSE = Script.load("pause_group")


async def pause(redis: Redis, stream: str, group: str, *, paused: bool) -> bool:
    """Pause a group, or let it go on; its consumers learn of it within about two seconds.

    Returns:
        Whether that changed anything.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    changed = bool(await _PAUSE(redis, [stream, names.records(stream)], [group, int(paused)]))
    await announce(redis, [stream])
    return changed


async def is_paused(redis: Redis, stream: str, group: str) -> bool:
    """Whether a group is paused on a stream."""
    return await redis.hget(names.records(stream), f"paused {group}") is not None

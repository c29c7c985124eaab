"""Managing a group by hand: create, reset, pause, remove, replay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import batched

from redis.asyncio import Redis

from abe_redis.streams import ids, names
from abe_redis.streams.scripts import Argument, Script
from abe_redis.streams.turns import Turn

BEGINNING = "0-0"
"""The position before the first entry."""
NOW = "$"
"""The position after the last entry."""


_AT_ONCE = 500
"""Streams of which one pipeline asks."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A group's unfinished entries."""

    pending: int
    """Entries given to the group and not acked."""
    undelivered: int
    """Entries not delivered yet."""
    is_all: bool = True
    """Whether these are all of them; else there are more."""

    def __bool__(self) -> bool:
        return self.pending > 0 or self.undelivered != 0

    @property
    def known(self) -> int:
        """How many there are, at least."""
        return self.pending + self.undelivered


MOST_COUNTED = 10_000
"""Number up to which undelivered entries are counted one by one; beyond it, Redis may know how many."""

_CREATE = Script.load("create_group")


async def create(
    redis: Redis, stream: str, group: str, position: str, *, force: bool = False, makes_stream: bool = False
) -> tuple[Unfinished, bool]:
    """Create a group; it gets the entries after a position.

    Args:
        redis: The client.
        stream: The stream.
        group: The group.
        position: The position.
        force: Create a destroyed group even if it has unfinished entries.
        makes_stream: Make a stream that does not exist yet, empty. It is to be announced then.

    Returns:
        What it has unfinished if somebody destroyed it and its floor is recorded (of the undelivered entries,
        those before the position), and whether it was created: not while there are any, unless forced.

    Raises:
        redis.ResponseError: BUSYGROUP, when it exists.
    """
    keys = [stream, names.records(stream), names.pending(stream, group), names.due(stream, group)]
    arguments: list[Argument] = [group, position, int(force), MOST_COUNTED, int(makes_stream)]
    return _answer(await Turn(stream).run(redis, _CREATE, keys, arguments))


_RESET = Script.load("reset_group")


async def reset(
    redis: Redis, stream: str, group: str, position: str, *, force: bool, dry_run: bool = False
) -> tuple[Unfinished, bool]:
    """Move a group; it gets the entries after a position, some perhaps again.

    Returns:
        Its unfinished entries (of the undelivered ones, those before the position), and whether it was moved,
        or with `dry_run` would be: not while there are any, unless forced.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    keys = [stream, names.records(stream), names.due(stream, group)]
    how = "look" if dry_run else int(force)
    arguments: list[Argument] = [group, position, how, MOST_COUNTED]
    left, moved = _answer(await Turn(stream).run(redis, _RESET, keys, arguments))
    return left, moved or (dry_run and force)


_REMOVE = Script.load("remove_group")


async def remove(redis: Redis, stream: str, group: str, *, force: bool) -> tuple[Unfinished, bool]:
    """Remove a group and its records.

    Returns:
        Its unfinished entries, and whether it was removed: not while there are any, unless forced.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    more = (of(stream, group) for of in (names.due, names.leases, names.held, names.pending))
    keys = [stream, names.records(stream), *more]
    return _answer(await Turn(stream).run(redis, _REMOVE, keys, [group, int(force), MOST_COUNTED]))


def _answer(answer: Sequence[int]) -> tuple[Unfinished, bool]:
    pending, undelivered, is_all, done = answer
    return Unfinished(pending, undelivered, is_all=bool(is_all)), bool(done)


_REPLAY = Script.load("replay")

_REPLAYED_AT_ONCE = 100


async def replay(
    redis: Redis,
    stream: str,
    group: str,
    first: str,
    last: str,
    *,
    on_page: Callable[[int, str | None], None] = lambda *_: None,
) -> int:
    """Deliver entries to one group again, in order, except those that it has not finished yet.

    Args:
        first: Id of the first, or `-`.
        last: Id of the last, or `+`.
        on_page: Called after each page with the number of entries that will be delivered again, those of
            earlier pages included, and the last id that was looked at, None when there is no more.

    Returns:
        The number of entries that will be delivered again.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    total, start = 0, first
    bounds: list[Argument] = []
    replayed: int
    while True:
        step: list[Argument] = [group, start, last, _REPLAYED_AT_ONCE, first]
        replayed, reached, bound = await Turn(stream).run(
            redis, _REPLAY, [stream, names.records(stream)], step, *bounds
        )
        total += replayed
        bounds = [bound]
        upto = None if reached is None or reached.decode() == ids.LAST else reached.decode()
        on_page(total, upto)
        if upto is None:
            return total
        start = f"({upto}"


_PAUSE = Script.load("pause_group")


async def pause(
    redis: Redis, stream: str, group: str, *, paused: bool, makes: bool = False, turn: Turn | None = None
) -> bool:
    """Pause or resume a group; its consumers notice within about two seconds when it is announced.

    Args:
        redis: The client.
        stream: The stream.
        group: The group.
        paused: Whether it is to be paused.
        makes: Make a group that does not exist yet, at the beginning, and its stream, empty.
        turn: The same for each try.

    Returns:
        Whether this changed the group.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
    """
    arguments: list[Argument] = [group, int(paused), int(makes)]
    turn = turn or Turn(stream)
    return bool(await turn.run(redis, _PAUSE, [stream, names.records(stream)], arguments))


async def had_workers(redis: Redis, streams: Sequence[str], group: str) -> bool:
    """Whether a worker ever read one of these streams in a group, since a person made the group there.

    It stays known after a removal, until 20 more groups of the stream were removed.
    """
    return await _is_recorded(redis, streams, f"worked {group}")


async def is_known(redis: Redis, streams: Sequence[str], group: str) -> bool:
    """Whether one of these streams has, or had, this group, unless a command of ours removed it."""
    return await _is_recorded(redis, streams, f"floor {group}")


async def _is_recorded(redis: Redis, streams: Sequence[str], field: str) -> bool:
    for some in batched(streams, _AT_ONCE):
        pipeline = redis.pipeline(transaction=False)
        for stream in some:
            pipeline.hget(names.records(stream), field)
        if any(found is not None for found in await pipeline.execute()):
            return True
    return False


async def forget_workers(redis: Redis, stream: str, group: str) -> None:
    """Forget that a group had workers: a person makes it anew, for whoever comes."""
    await redis.hdel(names.records(stream), f"worked {group}")


async def is_paused(redis: Redis, stream: str, group: str) -> bool:
    """Whether a group is paused on a stream."""
    return await redis.hget(names.records(stream), f"paused {group}") is not None

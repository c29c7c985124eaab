"""Erasing entries from a stream, finished or not."""

from collections.abc import Sequence

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.scripts import Script

_ERASE = Script.load("erase")


async def erase(redis: Redis, stream: str, ids: Sequence[str], *, dry_run: bool = False) -> tuple[int, int]:
    """Remove entries, and their rows in the pending lists of groups.

    Returns:
        The number of removed entries, and how many of them some group had not finished; with `dry_run`, the
        same of those that would be removed.
    """
    erased, unfinished = await _ERASE(redis, names.with_records([stream]), [int(dry_run), *ids])
    return int(erased), int(unfinished)

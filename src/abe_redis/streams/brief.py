"""How long a stream is, and what its groups have not finished, in numbers."""

from typing import Any

from redis.asyncio import Redis

from abe_redis.schemas import GroupBrief
from abe_redis.streams import ids, peek
from abe_redis.streams.info import lag_of

_MOST_BEHIND = 100
"""Most undelivered entries of a group that are counted where Redis does not know their number."""


async def brief(redis: Redis, stream: str) -> tuple[int, list[GroupBrief]]:
    """The number of entries of a stream, and the unfinished entries of each of its groups.

    Raises:
        redis.ResponseError: There is no such stream.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xlen(stream)
    pipeline.xinfo_groups(stream)
    length, rows = await pipeline.execute()
    return length, [
        GroupBrief(
            name=row["name"].decode(errors="replace"),
            pending=row["pending"],
            lag=await _lag(redis, stream, row),
        )
        for row in rows
    ]


async def _lag(redis: Redis, stream: str, row: dict[str, Any]) -> int | None:
    """How many entries a group has not been given; None when that is unknown, as beyond the end."""
    if row["lag"] is None and ids.order(row["last-delivered-id"]) > ids.order(
        (await peek.end(redis, stream))[0]
    ):
        return None
    return await lag_of(redis, stream, row, most=_MOST_BEHIND)

"""What agents have changed: a stream of its own, the last ten thousand changes."""

import json
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from abe_redis.results import Change
from abe_redis.streams import names

KEPT = 10_000


async def record(redis: Redis, who: str, what: str, facts: dict[str, Any]) -> None:
    """Write a change down.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    fields = {"who": who, "what": what, "facts": json.dumps(facts, ensure_ascii=False)}
    await redis.xadd(names.AUDIT, dict[Any, Any](fields), maxlen=KEPT, approximate=True)


async def last(redis: Redis, count: int) -> list[Change]:
    """The last changes, the newest first.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    rows: Any = await redis.xrevrange(names.AUDIT, count=count)
    return [
        Change(
            at=datetime.fromtimestamp(int(entry_id.partition(b"-")[0]) / 1000, UTC),
            who=fields[b"who"].decode(errors="replace"),
            what=fields[b"what"].decode(errors="replace"),
            facts=json.loads(fields[b"facts"]),
        )
        for entry_id, fields in rows
    ]

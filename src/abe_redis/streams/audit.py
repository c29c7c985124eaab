"""Writes to the audit, the stream of changes: its last ten thousand entries are kept."""

import json
from typing import Any, Literal

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.publish import append

KEPT = 10_000

type Source = Literal["mcp", "cli", "consumer"]
"""Where a change came from: the MCP server, the command line, or a consumer that repairs something."""


async def record(redis: Redis, who: str, what: str, facts: dict[str, Any], source: Source) -> None:
    """Record a change.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    fields = {"who": who, "from": source, "what": what, "facts": json.dumps(facts, ensure_ascii=False)}
    await append(redis, names.AUDIT, fields, kept=KEPT)

"""Writing down who has changed what, from where: the audit is a stream with the last ten thousand changes."""

import getpass
import json
import socket
from collections.abc import Mapping
from typing import Any, Literal

from redis.asyncio import Redis

from abe_redis.sanitize.untrusted import shown
from abe_redis.streams import names
from abe_redis.streams.publish import append

KEPT = 10_000

type Origin = Literal["mcp", "cli"]
"""Where a change came from: the MCP server or the command line."""

_MOST_LISTED = 100
"""Items of a list in a record; of a longer one, the number of the others is recorded."""

_CHANGES = ("ids", "buried", "redriven", "created_group", "purged", "erased", "done")
"""The fields of a result that show that something has changed."""


def person() -> str:
    """Who runs this process: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


async def note_change(
    redis: Redis, who: str, tool: str, facts: Mapping[str, object], origin: Origin = "mcp"
) -> None:
    """Record the change that a call made, if it made one, without secrets."""
    if any(facts.get(one) for one in _CHANGES):
        told = {name: shown(fact) for name, fact in facts.items() if fact}
        for name, fact in list(told.items()):
            if isinstance(fact, list) and len(fact) > _MOST_LISTED:
                told |= {name: fact[:_MOST_LISTED], f"more {name}": len(fact) - _MOST_LISTED}
        await record(redis, who, tool, told, origin)


async def record(redis: Redis, who: str, what: str, facts: dict[str, Any], origin: Origin = "mcp") -> None:
    """Record a change."""
    fields = {"who": who, "from": origin, "what": what, "facts": json.dumps(facts, ensure_ascii=False)}
    await append(redis, names.AUDIT, fields, kept=KEPT)

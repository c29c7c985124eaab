"""Writes the changes that people and agents make into the audit, without secrets."""

import getpass
import socket
from collections.abc import Mapping
from itertools import count
from secrets import token_hex
from typing import Any, Literal

from redis.asyncio import Redis

from abe_redis.publishing.retry import retry
from abe_redis.runtime.plurals import named
from abe_redis.sanitize.untrusted import shown
from abe_redis.streams import audit

type Origin = Literal["mcp", "cli"]
"""Where a change came from: the MCP server or the command line."""

MOST_LISTED = 100
"""Most items of a list in a record; for a longer list, the number of the others is recorded."""

IN_BATCHES = frozenset({"publish_many"})
"""Changes that one run makes in many batches, each of which is recorded when it is made."""

_CHANGES = ("ids", "buried", "redriven", "created_group", "purged", "erased", "done", "uncertain")
"""The fields of a result that show that something has changed, or may have."""

_RETRY_SECONDS = 3.0
"""Time for further tries to write a record."""


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
            if isinstance(fact, list) and len(fact) > MOST_LISTED:
                told |= {name: fact[:MOST_LISTED], f"more {name}": len(fact) - MOST_LISTED}
        await _record(redis, who, tool, told, origin)


async def _record(redis: Redis, who: str, tool: str, told: dict[str, Any], origin: Origin) -> None:
    """Write one record, though a connection ends meanwhile."""
    once, tries = token_hex(8), count()

    async def write() -> None:
        if next(tries) == 0 or not await audit.is_recorded(redis, once):
            await audit.record(redis, who, tool, told, origin, once=once)

    async def pause() -> None: ...

    await retry(write, seconds=_RETRY_SECONDS, between=pause)


def brief(facts: Mapping[str, object]) -> str:
    """Facts about a change in a line of the log: without secrets, and of a long list the first items."""
    said = {
        name: named([str(shown(one)) for one in fact]) if isinstance(fact, list) else shown(fact)
        for name, fact in facts.items()
        if fact
    }
    return ", ".join(f"{name}: {fact}" for name, fact in said.items())

"""Reads the audit: the changes of people and agents, as `recording` wrote them."""

import json
from typing import Any

from redis.asyncio import Redis

from abe_redis.events.codec import is_deeper
from abe_redis.operations.scope import Scope, check_range
from abe_redis.schemas import AuditResult, Change
from abe_redis.streams import ids, names, peek

MOST = 1000

_LEVELS = 2
"""Kinds of fields in an audit entry: facts by name, some of them lists."""


async def changes(scope: Scope, *, count: int) -> AuditResult:
    """The last changes, the newest first.

    Raises:
        RequestError: The count is out of range.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
    """
    check_range("count", count, 1, MOST)
    async with scope.redis("reading what was changed") as redis:
        return AuditResult(changes=await last(redis, count))


async def last(redis: Redis, count: int) -> list[Change]:
    """As `changes`."""
    return [
        Change(
            at=ids.moment(entry.id),
            who=entry.fields.get(b"who", b"").decode(errors="replace"),
            origin=entry.fields.get(b"from", b"mcp").decode(errors="replace"),
            what=entry.fields.get(b"what", b"").decode(errors="replace"),
            facts=_facts(entry.fields.get(b"facts", b"")),
        )
        for entry in await peek.entries(redis, names.AUDIT, after=None, count=count, order="newest")
    ]


def _facts(said: bytes) -> dict[str, Any]:
    """Parse a record, which anyone with access to Redis may have written."""
    try:
        facts = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and not is_deeper(facts, _LEVELS) else {}

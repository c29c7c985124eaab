"""Reads the audit: the changes of people and agents, as `recording` wrote them."""

import json
from typing import Any

from redis.asyncio import Redis

from abe_redis.events.codec import is_deeper
from abe_redis.operations import positions
from abe_redis.operations.scope import Scope, check_range
from abe_redis.schemas import AuditResult, Change
from abe_redis.streams import ids, names, peek

MOST = 1000

_LEVELS = 2
"""Kinds of fields in an audit entry: facts by name, some of them lists."""


_PAGE = 200


async def changes(
    scope: Scope,
    *,
    count: int,
    since: str | None = None,
    who: str | None = None,
    stream: str | None = None,
) -> AuditResult:
    """The last changes, the newest first.

    Args:
        scope: The caller's.
        count: How many at most.
        since: Only from this point on, as people write it.
        who: Only by those whose name contains this.
        stream: Only to this stream.

    Raises:
        RequestError: The count is out of range.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
    """
    check_range("count", count, 1, MOST)
    found = list[Change]()
    async with scope.redis("reading what was changed") as redis:
        first = None if since is None else await positions.since(redis, since)
        after, is_whole = None, True
        while is_whole:
            page = await peek.entries(redis, names.AUDIT, after=after, count=_PAGE, order="newest")
            is_whole = len(page) == _PAGE
            for entry in page:
                after = entry.id
                if len(found) == count or (first and ids.order(entry.id) < ids.order(first)):
                    return AuditResult(changes=found)
                one = _change(entry)
                if (who or "") in one.who and stream in {None, one.facts.get("stream")}:
                    found.append(one)
    return AuditResult(changes=found)


async def last(redis: Redis, count: int) -> list[Change]:
    """The last changes, the newest first."""
    found = await peek.entries(redis, names.AUDIT, after=None, count=count, order="newest")
    return [_change(entry) for entry in found]


def _change(entry: peek.Entry) -> Change:
    return Change(
        at=ids.moment(entry.id),
        who=entry.fields.get(b"who", b"").decode(errors="replace"),
        origin=entry.fields.get(b"from", b"mcp").decode(errors="replace"),
        what=entry.fields.get(b"what", b"").decode(errors="replace"),
        facts=_facts(entry.fields.get(b"facts", b"")),
    )


def _facts(said: bytes) -> dict[str, Any]:
    """Parse a record, which anyone with access to Redis may have written."""
    try:
        facts = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and not is_deeper(facts, _LEVELS) else {}

"""What agents have changed, for those who gave them the keys."""

from collections.abc import Mapping

from redis.asyncio import Redis

from abe_redis.operations.scope import Scope, check_range
from abe_redis.sanitize.untrusted import shown
from abe_redis.schemas import AuditResult
from abe_redis.streams import audit

MOST = 1000

_CHANGES = ("ids", "buried", "redriven", "created_group")
"""The facts of a call that say that something has changed."""


async def note_change(redis: Redis, who: str, tool: str, facts: Mapping[str, object]) -> None:
    """Write down what a call has changed, if it has changed anything; without secrets.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    if any(facts.get(one) for one in _CHANGES):
        await audit.record(redis, who, tool, {name: shown(fact) for name, fact in facts.items() if fact})


async def changes(scope: Scope, *, count: int) -> AuditResult:
    """The last changes, the newest first.

    Raises:
        RequestError: The count is out of range.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
    """
    check_range("count", count, 1, MOST)
    async with scope.redis("reading what agents have changed") as redis:
        found = await audit.last(redis, count)
    return AuditResult(changes=found)

"""What agents have changed, for those who gave them the keys."""

from abe_redis.access import Access, check_range
from abe_redis.results import AuditResult
from abe_redis.streams import audit

MOST = 1000


async def changes(access: Access, *, count: int) -> AuditResult:
    """The last changes, the newest first.

    Raises:
        RequestError: The count is out of range.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
    """
    check_range("count", count, 1, MOST)
    async with access.redis("reading what agents have changed") as redis:
        found = await audit.last(redis, count)
    return AuditResult(changes=found)

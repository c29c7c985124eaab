"""The members of a group: forgetting those that are gone."""

from collections.abc import Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Script

# XGROUP DELCONSUMER drops what the consumer holds, so only one that holds nothing is removed. One that
# is alive after all, and only slow, is made again by its next read.
_FORGET = Script("""
local group, idle_ms, forgotten = ARGV[1], tonumber(ARGV[2]), 0
for k = 1, #KEYS, 2 do
  local stream, records = KEYS[k], KEYS[k + 1]
  local rows = redis.pcall('XINFO', 'CONSUMERS', stream, group)
  for _, row in ipairs(rows.err and {} or rows) do
    local of = {}
    for i = 1, #row, 2 do of[row[i]] = row[i + 1] end
    if of['pending'] == 0 and of['idle'] >= idle_ms then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, of['name'])
      redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
      forgotten = forgotten + 1
    end
  end
end
return forgotten
""")


async def forget_gone(redis: Redis, group: str, streams: Sequence[str], *, idle_seconds: float) -> int:
    """Remove consumers that hold nothing and have not asked for anything in so long.

    Returns:
        How many were removed.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """

    async def forget(some: Sequence[str]) -> int:
        return int(await _FORGET(redis, names.with_records(some), [group, round(idle_seconds * 1000)]))

    return sum(await slots.each(slots.by_slot(redis, streams), forget))

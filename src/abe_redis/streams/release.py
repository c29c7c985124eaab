"""Letting go of entries that are not done: at once, or to be taken up again later.

TIME 0 is the epoch: a lease that ended long before anything else, so whoever looks next takes the
entry at once, whatever its own lease time is. RETRYCOUNT sets the count that XREADGROUP and XCLAIM
had raised.
"""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

# The set lives as long as the longest delay may last, so that nothing is left of a deleted stream.
_POSTPONE = Script("""
local stream, due = KEYS[1], KEYS[2]
local group, consumer, id, delay_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
local row = not rows.err and rows[1]
if not row then return 0 end
local count = math.max(0, row[4] - ARGV[6])
if delay_ms > 0 then
  local time = redis.call('TIME')
  redis.call('ZADD', due, time[1] * 1000 + math.floor(time[2] / 1000) + delay_ms, id)
  redis.call('PEXPIRE', due, ARGV[5])
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'RETRYCOUNT', count, 'JUSTID')
else
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'TIME', 0, 'RETRYCOUNT', count, 'JUSTID')
end
return 1
""")

MAX_DELAY_SECONDS = 7 * 86_400
"""The longest that an entry can be postponed."""


async def postpone(
    redis: Redis,
    stream: str,
    group: str,
    consumer: str,
    entry_id: str,
    *,
    delay_seconds: float,
    counted: bool = True,
) -> bool:
    """Give an entry back, to be taken up again after a delay.

    Args:
        redis: The client.
        stream: Where it is.
        group: The group.
        consumer: Who gives it back.
        entry_id: Which entry.
        delay_seconds: Not before so many seconds have passed.
        counted: Whether it counts as delivered.

    Returns:
        False when another consumer holds it by now; then nothing was changed.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    delay_ms = round(min(max(delay_seconds, 0), MAX_DELAY_SECONDS) * 1000)
    arguments: list[Argument] = [group, consumer, entry_id, delay_ms, 2 * MAX_DELAY_SECONDS * 1000]
    arguments.append(0 if counted else 1)
    return bool(await _POSTPONE(redis, [stream, names.due(stream, group)], arguments))


_RELEASE = Script("""
local group, consumer, all, released = ARGV[1], ARGV[2], ARGV[3] == 'all', 0
local counts = {}
for i = 4, #ARGV, 3 do
  local stream = ARGV[i]
  counts[stream] = counts[stream] or {}
  counts[stream][ARGV[i + 1]] = tonumber(ARGV[i + 2])
end
for k = 1, #KEYS, 2 do
  local stream, records = KEYS[k], KEYS[k + 1]
  local known = counts[stream] or {}
  local function release(row)
    local count = known[row[1]] or math.max(0, row[4] - 1)
    if count >= 0 then
      redis.call('XCLAIM', stream, group, consumer, 0, row[1], 'TIME', 0, 'RETRYCOUNT', count, 'JUSTID')
      released = released + 1
    end
  end
  local rows = redis.pcall('XPENDING', stream, group, '-', '+', 1, consumer)
  if rows.err then rows = nil
  elseif all then
    local from = '-'
    while #rows > 0 do
      rows = redis.call('XPENDING', stream, group, from, '+', 100, consumer)
      for _, row in ipairs(rows) do release(row) end
      if #rows > 0 then from = '(' .. rows[#rows][1] end
    end
  else
    for id in pairs(known) do
      local row = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
      if row then release(row) end
    end
  end
  if rows and #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
    redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
  end
end
return released
""")

KEEP = -1
"""In place of a number of deliveries: `release` leaves this entry with its consumer."""


async def release(
    redis: Redis,
    group: str,
    consumer: str,
    streams: Sequence[str],
    known: Mapping[tuple[str, str], int],
    *,
    everything: bool,
) -> int:
    """Give entries back, so that the next consumer who looks takes them.

    A consumer that holds nothing afterwards is removed from the group. A stream or group that is
    gone is passed over.

    Args:
        redis: The client.
        group: The group.
        consumer: Who gives them back.
        streams: Where to look.
        known: Stream and id of entries, each with the number of deliveries it shall have from
            now on, or `KEEP`.
        everything: Also what the consumer holds beside the known ones, as not delivered: what a
            cancelled or failed read left with it unseen.

    Returns:
        How many were given back.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """

    async def give(some: Sequence[str]) -> int:
        arguments: list[Argument] = [group, consumer, "all" if everything else "these"]
        theirs = set(some)
        for (stream, entry_id), count in known.items():
            if stream in theirs:
                arguments += (stream, entry_id, count)
        return int(await _RELEASE(redis, names.with_records(some), arguments))

    return sum(await slots.each(slots.by_slot(redis, streams), give))

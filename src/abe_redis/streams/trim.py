"""Keeping a stream near its bound without taking what somebody still needs."""

import time

from redis.asyncio import Redis

from abe_redis.streams.scripts import Script

STEP = 100
"""How many entries one call removes at most, so that the server is never held up by large ones."""

# What a group needs is everything after what it was last given, and everything it was given
# and has not acked. MINID keeps its argument, so an entry that some group needs is never cut.
_TRIM = Script("""
local stream, maxlen, step = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local excess = redis.call('XLEN', stream) - maxlen
if excess <= 0 then return 0 end
local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(excess, step) + 1)
local cut = entries[#entries][1]
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function before(a, b)
  local ams, aseq = parts(a)
  local bms, bseq = parts(b)
  return ams < bms or (ams == bms and aseq < bseq)
end
for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local of = {}
  for j = 1, #row, 2 do of[row[j]] = row[j + 1] end
  local needed = of['last-delivered-id']
  if of['pending'] > 0 then needed = redis.call('XPENDING', stream, of['name'])[2] end
  if before(needed, cut) then cut = needed end
end
return redis.call('XTRIM', stream, 'MINID', cut)
""")


async def trim(redis: Redis, stream: str, maxlen: int) -> int:
    """Remove entries beyond `maxlen` that every group has finished.

    Returns:
        How many were removed; up to `STEP`.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    return int(await _TRIM(redis, [stream], [maxlen, STEP]))


class Trimmer:
    """Trims now and then: after publishes and after acks, not after each."""

    PAUSE_SECONDS = 1.0
    """How long a stream is left alone when nothing could be removed."""
    _STEPS = 10

    def __init__(self, maxlen: int) -> None:
        self._maxlen = maxlen
        self._not_before: dict[str, float] = {}

    async def trim(self, redis: Redis, stream: str) -> None:
        """Remove what may go, in a bounded number of steps.

        Raises:
            redis.RedisError: The server refused it or could not be reached.
        """
        if time.monotonic() < self._not_before.get(stream, 0):
            return
        for _ in range(self._STEPS):
            if await trim(redis, stream, self._maxlen) < STEP:
                self._not_before[stream] = time.monotonic() + self.PAUSE_SECONDS
                return

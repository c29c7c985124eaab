"""Keeping a stream near its bound without taking what somebody still needs."""

import time
from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from abe_redis.streams.scripts import Script

STEP = 100
"""How many entries one call removes at most, so that the server is never held up by large ones."""

BLOCKED = -1

# What a group needs is everything after what it was last given, and everything it was given
# and has not acked. MINID keeps its argument, so an entry that some group needs is never cut.
_TRIM = Script("""
local maxlen, step, removed = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function before(a, b)
  local ams, aseq = parts(a)
  local bms, bseq = parts(b)
  return ams < bms or (ams == bms and aseq < bseq)
end
local function trim(stream)
  if redis.call('TYPE', stream).ok ~= 'stream' then return 0 end
  local excess = redis.call('XLEN', stream) - maxlen
  if excess <= 0 then return 0 end
  local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(excess, step) + 1)
  local cut = entries[#entries][1]
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local of = {}
    for j = 1, #row, 2 do of[row[j]] = row[j + 1] end
    local needed = of['last-delivered-id']
    if of['pending'] > 0 then needed = redis.call('XPENDING', stream, of['name'])[2] end
    if before(needed, cut) then cut = needed end
  end
  local count = redis.call('XTRIM', stream, 'MINID', cut)
  return count > 0 and count or -1
end
for i, stream in ipairs(KEYS) do removed[i] = trim(stream) end
return removed
""")


async def trim(redis: Redis, streams: Sequence[str], maxlen: int) -> list[int]:
    """Remove entries beyond `maxlen` that every group has finished.

    Returns:
        Per stream how many were removed, up to `STEP`; `BLOCKED` when it is above its bound and some
        group still needs its oldest entry. Where there is no stream there is nothing to remove.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    return [int(count) for count in await _TRIM(redis, streams, [maxlen, STEP])]


def is_over(length: int, maxlen: int) -> bool:
    """Whether a stream is longer than trimming now and then explains."""
    return length > maxlen + 2 * STEP


class Trimmer:
    """Trims now and then: after publishes and after acks, not after each.

    So a stream is above its bound by about `STEP` entries at times.
    """

    _PAUSE_SECONDS = 1.0
    """How long publishers leave a stream alone when work in it kept us from trimming."""
    _STEPS = 10

    def __init__(self, maxlen: int) -> None:
        self._maxlen = maxlen
        self._not_before: dict[str, float] = {}

    def is_due(self, stream: str, length: int) -> bool:
        """Whether a publisher that sees this length should trim."""
        return length > self._maxlen + STEP and time.monotonic() >= self._not_before.get(stream, 0)

    async def trim(self, redis: Redis, streams: Iterable[str]) -> list[str]:
        """Remove what may go, in a bounded number of steps.

        Returns:
            The streams in which more may go.

        Raises:
            redis.RedisError: The server refused it or could not be reached.
        """
        left = list(streams)
        for _ in range(self._STEPS):
            if not left:
                break
            removed = dict(zip(left, await trim(redis, left, self._maxlen), strict=True))
            for stream, count in removed.items():
                if count == BLOCKED:
                    self._not_before[stream] = time.monotonic() + self._PAUSE_SECONDS
            left = [stream for stream, count in removed.items() if count == STEP]
        return left

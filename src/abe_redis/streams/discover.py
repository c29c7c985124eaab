"""Finding streams, and making sure that a group can read them."""

from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.publish import announce
from abe_redis.streams.scripts import Script

type Readiness = Literal["ready", "missing", "other"]
"""What `ensure_group` found: a stream with the group, no key, or a key of another type."""

_SCAN_LOCK = "abe:scan"
_SCAN_SECONDS = 50
"""A slow SCAN is made once in this time, by whoever takes the lock."""
_SCAN_STEPS = 30
"""In how many steps; a consumer makes one about every 1.6 s. A step over 30,000 keys keeps the
server for some milliseconds (KEYS, for all of a million keys, for 180)."""
_SCAN_MOST = 50_000


async def announced(redis: Redis, since: float) -> tuple[list[str], float]:
    """Streams that publishers announced.

    Args:
        redis: The client.
        since: The server's time in seconds up to which the index is known; 0 for all of it.

    Returns:
        The names, and the newest time among them (`since` when there are none).

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    rows: Any = await redis.zrange(names.INDEX, since, "+inf", byscore=True, withscores=True)  # type: ignore[call-overload, unused-ignore]
    found = [_text(name) for name, _ in rows]
    return [name for name in found if name is not None], max((score for _, score in rows), default=since)


def _text(name: Any) -> str | None:  # noqa: ANN401 - bytes, which redis-py types more widely
    """A key as text; None for one that cannot be a stream of ours."""
    try:
        return str(name, "utf-8")
    except UnicodeDecodeError:
        return None


def _matching(keys: Any, patterns: names.Patterns) -> list[str]:  # noqa: ANN401 - bytes, see above
    return [name for key in keys if (name := _text(key)) is not None and patterns.match(name)]


# The floor is what the group had finished when it was last recorded. It does not count when the
# stream was deleted since: then fewer entries were ever added to it than at that time.
_ENSURE_GROUP = Script("""
local group, states = ARGV[1], {}
for i = 1, #KEYS, 2 do
  local stream, floors = KEYS[i], KEYS[i + 1]
  local kind, state = redis.call('TYPE', stream).ok, 'ready'
  if kind == 'none' then state = 'missing'
  elseif kind ~= 'stream' then state = 'other'
  else
    local from, recorded = '0', redis.call('HGET', floors, group)
    if recorded then
      local id, added = string.match(recorded, '^(%S+) (%d+)$')
      local info = redis.call('XINFO', 'STREAM', stream)
      for j = 1, #info, 2 do
        if info[j] == 'entries-added' and info[j + 1] >= tonumber(added) then from = id end
      end
    end
    local made = redis.pcall('XGROUP', 'CREATE', stream, group, from)
    if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
  end
  states[#states + 1] = state
end
return states
""")


async def ensure_group(redis: Redis, streams: list[str], group: str) -> list[Readiness]:
    """Make a group on each stream that exists and lacks it; a stream is never made.

    A new group starts at the very beginning, so that an event published before its first
    consumer existed is delivered. One that was deleted starts where it had finished.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [key for stream in streams for key in (stream, names.floors(stream))]
    return [state.decode() for state in await _ENSURE_GROUP(redis, keys, [group])]


_RECORD_FLOOR = Script("""
local group = ARGV[1]
for i = 1, #KEYS, 2 do
  local stream, floors = KEYS[i], KEYS[i + 1]
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, row in ipairs(groups.err and {} or groups) do
    local of = {}
    for j = 1, #row, 2 do of[row[j]] = row[j + 1] end
    if of['name'] == group then
      local floor = of['last-delivered-id']
      if of['pending'] > 0 then
        local ms, seq = string.match(redis.call('XPENDING', stream, group)[2], '^(%d+)-(%d+)$')
        if seq ~= '0' then floor = ms .. '-' .. string.format('%.0f', seq - 1)
        else floor = string.format('%.0f', ms - 1) .. '-18446744073709551615' end
      end
      local info = redis.call('XINFO', 'STREAM', stream)
      for j = 1, #info, 2 do
        if info[j] == 'entries-added' then
          redis.call('HSET', floors, group, floor .. ' ' .. string.format('%.0f', info[j + 1]))
        end
      end
    end
  end
end
return redis.status_reply('OK')
""")


async def record_floors(redis: Redis, streams: list[str], group: str) -> None:
    """Record up to where a group has finished each stream, for the day it is deleted.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [key for stream in streams for key in (stream, names.floors(stream))]
    await _RECORD_FLOOR(redis, keys, [group])


@dataclass(slots=True)
class Search:
    """A slow SCAN for streams that others write, made by one consumer at a time.

    What it finds goes into the index, where every consumer finds it within a second.
    """

    patterns: names.Patterns
    _cursor: int | None = None
    _count: int = 1000

    async def step(self, redis: Redis) -> None:
        """Take the lock if it is free, or look at the next part of the keyspace.

        Raises:
            redis.RedisError: The server refused it or could not be reached.
        """
        if not self.patterns.globs:
            return
        if self._cursor is None:
            if not await redis.set(_SCAN_LOCK, b"1", nx=True, ex=_SCAN_SECONDS):
                return
            self._cursor = 0
            self._count = min(max(1000, await redis.dbsize() // _SCAN_STEPS), _SCAN_MOST)
        self._cursor, keys = await redis.scan(self._cursor, count=self._count, _type="stream")
        if found := _matching(keys, self.patterns):
            await announce(redis, found)
        self._cursor = self._cursor or None


_LOOKED_AT = 2_000_000


async def existing(redis: Redis, patterns: names.Patterns, *, limit: int = 1000) -> list[str]:
    """The streams that exist and match, in order of name, for a person or an agent to choose from.

    Foreign ones are searched for among the first two million keys.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    known, _ = await announced(redis, 0)
    candidates = {name for name in (*known, *patterns.literals) if patterns.match(name)}
    if patterns.globs:
        cursor, looked = 0, 0
        while looked < _LOOKED_AT:
            cursor, keys = await redis.scan(cursor, count=10_000, _type="stream")
            looked += 10_000
            candidates |= set(_matching(keys, patterns))
            if not cursor:
                break
    chosen = sorted(candidates)[:limit]
    pipeline = redis.pipeline(transaction=False)
    for name in chosen:
        pipeline.type(name)
    kinds = await pipeline.execute() if chosen else []
    return [name for name, kind in zip(chosen, kinds, strict=True) if kind == b"stream"]

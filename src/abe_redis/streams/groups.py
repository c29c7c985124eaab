"""Groups: making sure that one can read its streams, and what is recorded about it.

Redis forgets a group with its consumers, and does not say what was removed before a group had read
it. So a hash beside the stream records, per group: `floor`, up to where it had finished, how many
entries the stream had ever had then, and how many of them were unfinished; `used`, when it last had
a consumer; `lost`, how many entries were removed before it had finished them; `paused`, since when.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.scripts import Argument, Script

type Readiness = Literal["ready", "paused", "missing", "other"]
"""A stream with the group; the same, but paused; no key; or a key of another type."""

FACTS = """
local function facts(flat)
  local of = {}
  for i = 1, #flat, 2 do of[flat[i]] = flat[i + 1] end
  return of
end
local function before(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  ams, bms = tonumber(ams), tonumber(bms)
  return ams < bms or (ams == bms and tonumber(aseq) < tonumber(bseq))
end
local function id_before(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  if seq ~= '0' then return ms .. '-' .. string.format('%.0f', seq - 1) end
  return string.format('%.0f', ms - 1) .. '-18446744073709551615'
end
local function at(command, stream, group, position, read)
  if not read then return 'XGROUP', command, stream, group, position end
  return 'XGROUP', command, stream, group, position, 'ENTRIESREAD', string.format('%.0f', read)
end
local function group_of(stream, name)
  local rows = redis.pcall('XINFO', 'GROUPS', stream)
  for _, row in ipairs(rows.err and {} or rows) do
    local of = facts(row)
    if of['name'] == name then return of end
  end
end
"""
"""Lua: a flat reply as a table; the order of two ids; the id before one; the words that put a group at
a position (CREATE or SETID), with how many entries lie before it if that is known; a group's facts."""

# When a stream begins behind what a group was last given, all it has is unread, and what is missing
# from entries-added was removed unread. Redis itself forgets that with the next read (7.0: never,
# and counts it as lag for ever), so entries-read is put right once it is counted.
NOTE_LOSS = (
    FACTS
    + """
local function note_loss(stream, records, of, info)
  local first, read = info['first-entry'], of['entries-read']
  if first and not before(of['last-delivered-id'], first[1]) then return 0 end
  local unread = info['entries-added'] - info['length']
  local lost = read and unread - read or 0
  if lost > 0 or not read then
    redis.call(at('SETID', stream, of['name'], of['last-delivered-id'], unread))
  end
  if lost <= 0 then return 0 end
  redis.call('HINCRBY', records, 'lost ' .. of['name'], lost)
  if of['lag'] then of['lag'] = of['lag'] - lost end
  return lost
end
"""
)
"""Lua: count what somebody removed before the group had read it, once."""

MAKE_GROUP = """
local function make_group(stream, records, group, from, read)
  local made = redis.pcall(at('CREATE', stream, group, from, read))
  if made.err then return made end
  redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
  redis.call('PERSIST', records)
  return made
end
"""
"""Lua: make a group at an id, with how many entries lie before it if that is known."""

FLOOR = """
local function floor_of(records, group, added)
  local recorded = redis.call('HGET', records, 'floor ' .. group)
  if not recorded then return '0', 0 end
  local id, had, unfinished = string.match(recorded, '^(%S+) (%d+) (%d+)$')
  if added >= tonumber(had) then return id, 0 end
  redis.call('HDEL', records, 'floor ' .. group)
  if unfinished ~= '0' then redis.call('HINCRBY', records, 'lost ' .. group, unfinished) end
  return '0', tonumber(unfinished)
end
"""
"""Lua: where a deleted group starts again. A floor does not count when the stream was deleted since:
then fewer entries were ever added to it than at that time, and what was unfinished is counted as lost."""

_FORGOTTEN_SECONDS = 7 * 86_400
"""How long the records of a stream that is gone are kept."""

_ENSURE = Script(
    NOTE_LOSS
    + MAKE_GROUP
    + FLOOR
    + """
local group, answers = ARGV[1], {}
for i = 1, #KEYS, 2 do
  local stream, records = KEYS[i], KEYS[i + 1]
  local kind, state = redis.call('TYPE', stream).ok, 'ready'
  local info = kind == 'stream' and facts(redis.call('XINFO', 'STREAM', stream))
  local from, lost = floor_of(records, group, info and info['entries-added'] or 0)
  if kind == 'none' then
    redis.call('PEXPIRE', records, ARGV[2])
    state = 'missing'
  elseif not info then state = 'other'
  else
    local of = group_of(stream, group)
    if of then
      lost = lost + note_loss(stream, records, of, info)
    else
      local made = make_group(stream, records, group, from,
        from == '0' and info['entries-added'] - info['length'])
      if made.err then return made end
    end
    if redis.call('HGET', records, 'paused ' .. group) then state = 'paused' end
  end
  answers[#answers + 1] = {state, lost}
end
return answers
"""
)


@dataclass(frozen=True, slots=True)
class Ensured:
    """What `ensure_group` found of a stream."""

    state: Readiness
    lost: int
    """How many entries were removed before the group had finished them, as far as is news."""


async def ensure_group(redis: Redis, streams: Sequence[str], group: str) -> list[Ensured]:
    """Make a group on each stream that exists and lacks it; a stream is never made.

    A new group starts at the very beginning, so that an event published before its first
    consumer existed is delivered. One that was deleted starts where it had finished.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    arguments: list[Argument] = [group, _FORGOTTEN_SECONDS * 1000]
    answers = await _ENSURE.each(redis, streams, arguments, keys=names.with_records)
    return [Ensured(state=state.decode(), lost=lost) for state, lost in answers]


_RECORD = Script(
    NOTE_LOSS
    + """
local group, answers = ARGV[1], {}
for i = 1, #KEYS, 2 do
  local stream, records = KEYS[i], KEYS[i + 1]
  local of, lost, unfinished = group_of(stream, group), 0, 0
  if of then
    local info = facts(redis.call('XINFO', 'STREAM', stream))
    lost = note_loss(stream, records, of, info)
    unfinished = of['pending'] + math.max(0, of['lag'] or 0)
    local floor, added = of['last-delivered-id'], info['entries-added']
    if of['pending'] > 0 then floor = id_before(redis.call('XPENDING', stream, group)[2]) end
    redis.call('HSET', records, 'floor ' .. group, string.format('%s %.0f %.0f', floor, added, unfinished),
      'used ' .. group, redis.call('TIME')[1])
  end
  answers[#answers + 1] = {lost, unfinished}
end
return answers
"""
)


@dataclass(frozen=True, slots=True)
class Progress:
    """What `record_progress` found of a stream."""

    lost: int
    """How many entries were removed before the group had finished them, as far as is news."""
    unfinished: int
    """How many entries the group has yet to finish, as far as Redis can tell."""


async def record_progress(redis: Redis, streams: Sequence[str], group: str) -> list[Progress]:
    """Record up to where a group has finished each stream, for the day either is deleted.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    answers = await _RECORD.each(redis, streams, [group], keys=names.with_records)
    return [Progress(lost=lost, unfinished=unfinished) for lost, unfinished in answers]

"""Dead letters, the entries that a group gave up on: burial, redrive, purge."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from abe_redis.events.codec import UndecodableError, decode
from abe_redis.streams import names
from abe_redis.streams.groups import FACTS, FLOOR, MAKE_GROUP
from abe_redis.streams.lease import Leased
from abe_redis.streams.scripts import Script

REASON, GROUP, FIRST_ID = b"abe:reason", b"abe:group", b"abe:id"
CONSUMER, DELIVERIES = b"abe:consumer", b"abe:deliveries"
"""Fields of a dead letter, beside those of the entry that was buried."""

ONLY, FIRST = b"abe:only", b"abe:first"
"""Fields of an entry that was redriven: the group it is for, and the id it had at first."""


class CondemnedError(Exception):
    """The entry is to be buried; its first argument says why."""


class ForOthersError(Exception):
    """The entry was redriven to another group: this one acks it unseen."""


def check_leased(entry: Leased, group: str, max_deliveries: int) -> None:
    """Check that a leased entry can be handed out in this group.

    Raises:
        ForOthersError: It cannot: it is for another group.
        CondemnedError: It cannot: nobody finished it in so many deliveries.
    """
    only = entry.fields.get(ONLY)
    if only is not None and only != group.encode():
        raise ForOthersError
    if entry.deliveries > max_deliveries:
        raise CondemnedError(f"delivered {entry.deliveries - 1} times without an ack")


def open_leased(entry: Leased) -> dict[str, Any]:
    """The payload of a leased entry.

    Raises:
        CondemnedError: It holds none.
    """
    try:
        return decode(entry.fields)
    except UndecodableError as error:
        raise CondemnedError(str(error)) from None


_SPLIT = """
local function split(flat)
  local fields, ours = {}, {}
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 4) == 'abe:' then
      ours[flat[i]] = flat[i + 1]
    else
      fields[#fields + 1], fields[#fields + 2] = flat[i], flat[i + 1]
    end
  end
  return fields, ours
end
"""
"""Lua: an entry's own fields in their order, and what we have written beside them."""

# The original fields stay as they are, whatever they hold; what we say about them stands beside. Of
# one that was redriven before, only the id it had at first is still of interest. Lua cannot pass on
# more than about 8,000 values.
_BURY = Script(
    FACTS
    + _SPLIT
    + """
local stream, dead = KEYS[1], KEYS[2]
local group, consumer, id, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local row = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
if not row then return 0 end
local entry = redis.call('XRANGE', stream, id, id)[1]
if entry then
  local fields, ours = split(entry[2])
  local time = redis.call('TIME')
  if #fields > 7000 then
    local data = facts(entry[2])['data']
    reason = string.format('%s (%d other fields were left out)', reason, #fields / 2 - (data and 1 or 0))
    fields = data and {'data', data} or {}
  end
  for _, extra in ipairs({
    'abe:reason', reason, 'abe:stream', stream, 'abe:group', group, 'abe:id', ours['abe:first'] or id,
    'abe:deliveries', row[4], 'abe:consumer', consumer, 'abe:at', time[1],
  }) do fields[#fields + 1] = extra end
  redis.call('XADD', dead, '*', unpack(fields))
end
redis.call('XACK', stream, group, id)
return 1
"""
)


async def bury(redis: Redis, stream: str, group: str, consumer: str, entry_id: str, reason: str) -> bool:
    """Move an entry that this consumer holds to the dead letters, and ack it, in one step.

    Returns:
        False when another consumer holds it by now; then nothing was changed.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [stream, names.dead_letters(stream)]
    return bool(await _BURY(redis, keys, [group, consumer, entry_id, reason]))


# A group that was removed with all its records has nothing but these to do; one whose stream was
# deleted since it was recorded has the new stream to do from its beginning.
_REDRIVE = Script(
    FACTS
    + MAKE_GROUP
    + FLOOR
    + _SPLIT
    + """
local stream, dead, records, hard_maxlen, moved = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1]), {}
local function make_ready(group)
  if group_of(stream, group) then return end
  if redis.call('EXISTS', stream) == 0 then
    local made = redis.pcall('XGROUP', 'CREATE', stream, group, '$', 'MKSTREAM')
    if made.err then return made end
    redis.call('XGROUP', 'DESTROY', stream, group)
  end
  local info, added = facts(redis.call('XINFO', 'STREAM', stream)), nil
  local recorded = redis.call('HGET', records, 'floor ' .. group)
  local from = floor_of(records, group, info['entries-added'])
  if from == '0' and recorded then added = info['entries-added'] - info['length']
  elseif from == '0' then from, added = info['last-generated-id'], info['entries-added'] end
  local made = make_group(stream, records, group, from, added)
  if made.err then return made end
end
for i = 2, #ARGV do
  local entry = redis.call('XRANGE', dead, ARGV[i], ARGV[i])[1]
  if entry then
    local fields, ours = split(entry[2])
    local group = ours['abe:group']
    if redis.call('XLEN', stream) >= hard_maxlen then
      return redis.error_reply('STREAMFULL it has ' .. hard_maxlen .. ' entries')
    end
    if group then
      local refused = make_ready(group)
      if refused then return refused end
      fields[#fields + 1], fields[#fields + 2] = 'abe:only', group
    end
    fields[#fields + 1], fields[#fields + 2] = 'abe:first', ours['abe:id'] or ARGV[i]
    redis.call('XADD', stream, '*', unpack(fields))
    redis.call('XDEL', dead, ARGV[i])
    moved[#moved + 1] = ARGV[i]
  end
end
return moved
"""
)

AT_ONCE = 20
"""How many dead letters one step moves; they may be large."""


async def redrive(redis: Redis, stream: str, ids: Sequence[str], *, hard_maxlen: int) -> list[str]:
    """Move dead letters back into their stream, each for the group alone that gave up on it.

    Each is in one of the two places at any time. A group that was deleted is made again where it had
    finished, so that it does not get anything else twice.

    Args:
        redis: The client.
        stream: The stream they came from.
        ids: Up to `AT_ONCE` ids of dead letters, in the order in which they are to be delivered.
        hard_maxlen: A stream of so many entries takes no more.

    Returns:
        Those that were moved; an id that is not there (any more) is passed over.

    Raises:
        redis.ResponseError: STREAMFULL, when the stream is that long; what came before was moved.
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [stream, names.dead_letters(stream), names.records(stream)]
    return [moved.decode() for moved in await _REDRIVE(redis, keys, [hard_maxlen, *ids])]


async def purge(redis: Redis, stream: str, ids: Sequence[str]) -> int:
    """Remove dead letters for good.

    Returns:
        How many there were.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    return int(await redis.xdel(names.dead_letters(stream), *ids))


# Few at a time, so that the server is not held up; the next sweep goes on.
_EXPIRE = Script("""
local removed, now = {}, redis.call('TIME')[1] * 1000
local cutoff = string.format('(%.0f', math.max(0, now - ARGV[1]))
for i, dead in ipairs(KEYS) do
  removed[i] = 0
  if redis.call('TYPE', dead).ok == 'stream' then
    for _, entry in ipairs(redis.call('XRANGE', dead, '-', cutoff, 'COUNT', 200)) do
      removed[i] = removed[i] + redis.call('XDEL', dead, entry[1])
    end
  end
end
return removed
""")


async def expire(redis: Redis, streams: Sequence[str], *, days: float) -> dict[str, int]:
    """Remove dead letters that are older than so many days, some at a time.

    Returns:
        Per stream they came from, how many were removed.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    removed = await _EXPIRE.each(
        redis,
        streams,
        [round(days * 86_400_000)],
        keys=lambda some: [names.dead_letters(stream) for stream in some],
    )
    return {stream: count for stream, count in zip(streams, removed, strict=True) if count}

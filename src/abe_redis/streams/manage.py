"""What people do to a group by hand: make it, move it, pause it, remove it, replay to it."""

from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.groups import FACTS, MAKE_GROUP
from abe_redis.streams.publish import announce
from abe_redis.streams.scripts import Argument, Script

BEGINNING = "0-0"
"""The position before the first entry."""
NOW = "$"
"""The position behind the last entry."""

_READ_AT = (
    FACTS
    + """
local function read_at(stream, position)
  local info = facts(redis.call('XINFO', 'STREAM', stream))
  local first = info['first-entry']
  if position == '$' then return info['entries-added'] end
  if not first or before(position, first[1]) then return info['entries-added'] - info['length'] end
end
"""
)
"""Lua: how many entries lie before a position, where that is known."""

_CREATE = Script(
    _READ_AT
    + MAKE_GROUP
    + """
local stream, records, group, from = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local made = make_group(stream, records, group, from, read_at(stream, from))
if made.err then return made end
redis.call('HDEL', records, 'floor ' .. group, 'lost ' .. group, 'paused ' .. group)
return made
"""
)


async def create(redis: Redis, stream: str, group: str, position: str) -> None:
    """Make a group on a stream that exists, to be given what comes behind a position.

    Raises:
        redis.ResponseError: BUSYGROUP, when it exists.
        redis.RedisError: The server refused it or could not be reached.
    """
    await _CREATE(redis, [stream, names.records(stream)], [group, position])


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a group has not finished."""

    pending: int
    """Entries given to consumers and not acked."""
    undelivered: int | None
    """Entries not given to anyone yet; None when Redis cannot tell."""

    def __bool__(self) -> bool:
        return self.pending > 0 or self.undelivered != 0


# What was pending is acked: behind the new position it is delivered anew, and before it the caller has
# said that it may be passed over. Two holders of one entry there must not be.
MOST_PASSED = 100
"""So many undelivered entries that a reset would pass over are counted."""

_RESET = Script(
    _READ_AT
    + """
local stream, records, group, position, force = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3] == '1'
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP No such consumer group') end
local pending, upto = of['pending'], position == '$' and '+' or position
local passed = #redis.call('XRANGE', stream, '(' .. of['last-delivered-id'], upto, 'COUNT', ARGV[4])
if pending + passed > 0 and not force then return {pending, passed, 0} end
local rows = redis.call('XPENDING', stream, group, '-', '+', 100)
while #rows > 0 do
  for _, row in ipairs(rows) do redis.call('XACK', stream, group, row[1]) end
  rows = redis.call('XPENDING', stream, group, '-', '+', 100)
end
redis.call(at('SETID', stream, group, position, read_at(stream, position)))
redis.call('HDEL', records, 'floor ' .. group, 'lost ' .. group)
redis.call('DEL', KEYS[3])
return {pending, passed, 1}
"""
)


async def reset(
    redis: Redis, stream: str, group: str, position: str, *, force: bool
) -> tuple[Unfinished, bool]:
    """Move a group, to be given what comes behind a position (again).

    Returns:
        What it had not finished (of what was not delivered yet what is before the position, and
        `MOST_PASSED` at most), and whether it was moved: not while there is any, unless forced.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [stream, names.records(stream), names.due(stream, group)]
    pending, passed, moved = await _RESET(redis, keys, [group, position, int(force), MOST_PASSED])
    return Unfinished(pending=pending, undelivered=passed), bool(moved)


_REMOVE = Script(
    FACTS
    + """
local stream, records, group, force = KEYS[1], KEYS[2], ARGV[1], ARGV[2] == '1'
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP No such consumer group') end
local first, unread = facts(redis.call('XINFO', 'STREAM', stream))['first-entry'], of['lag']
if first and before(of['last-delivered-id'], first[1]) then unread = redis.call('XLEN', stream) end
local unfinished = of['pending'] > 0 or unread ~= 0
if force or not unfinished then
  redis.call('XGROUP', 'DESTROY', stream, group)
  for _, what in ipairs({'floor', 'used', 'lost', 'paused'}) do
    redis.call('HDEL', records, what .. ' ' .. group)
  end
  redis.call('DEL', KEYS[3])
  return {of['pending'], unread or -1, 1}
end
return {of['pending'], unread or -1, 0}
"""
)


async def remove(redis: Redis, stream: str, group: str, *, force: bool) -> tuple[Unfinished, bool]:
    """Remove a group with all that is recorded about it.

    Returns:
        What it had not finished, and whether it was removed: not while there is any, unless forced.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [stream, names.records(stream), names.due(stream, group)]
    pending, undelivered, removed = await _REMOVE(redis, keys, [group, int(force)])
    return Unfinished(pending=pending, undelivered=None if undelivered < 0 else undelivered), bool(removed)


# XCLAIM FORCE makes an entry pending that is not, without adding it again; TIME 0 dates it to the
# epoch, as when it is given back, so that whoever looks next takes it. What is delivered while we are at
# it is not replayed (the first step says up to where that is), nor what was redriven to another group.
_REPLAY = Script(
    FACTS
    + """
local stream, group, from, to = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP No such consumer group') end
local replayed, last, bound = 0, false, ARGV[6] or of['last-delivered-id']
local function is_for_others(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'abe:only' then return fields[i + 1] ~= group end
  end
end
for _, entry in ipairs(redis.call('XRANGE', stream, from, to, 'COUNT', ARGV[4])) do
  if before(bound, entry[1]) or before(of['last-delivered-id'], entry[1]) then
    last = false
    break
  end
  last = entry[1]
  if #redis.call('XPENDING', stream, group, last, last, 1) == 0 and not is_for_others(entry[2]) then
    redis.call('XCLAIM', stream, group, ARGV[5], 0, last, 'TIME', 0, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
    replayed = replayed + 1
  end
end
return {replayed, last, bound}
"""
)

_REPLAYED_AT_ONCE = 100
REPLAYER = "replay"
"""The consumer under whose name entries wait that are replayed."""


async def replay(redis: Redis, stream: str, group: str, first: str, last: str) -> int:
    """Deliver entries to one group again, in order; those it has not finished are left alone.

    Args:
        redis: The client.
        stream: The stream.
        group: The group.
        first: Id of the first, or `-`.
        last: Id of the last, or `+`.

    Returns:
        How many will be delivered again.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
        redis.RedisError: The server refused it or could not be reached.
    """
    total, start = 0, first
    bounds: list[Argument] = []
    replayed: int
    while True:
        arguments: list[Argument] = [group, start, last, _REPLAYED_AT_ONCE, REPLAYER, *bounds]
        replayed, reached, bound = await _REPLAY(redis, [stream], arguments)
        total += replayed
        bounds = [bound]
        if reached is None:
            return total
        start = f"({reached.decode()}"


_PAUSE = Script(
    FACTS
    + """
local stream, records, group = KEYS[1], KEYS[2], ARGV[1]
if not group_of(stream, group) then return redis.error_reply('NOGROUP No such consumer group') end
if ARGV[2] == '1' then
  return redis.call('HSETNX', records, 'paused ' .. group, redis.call('TIME')[1])
end
redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
return redis.call('HDEL', records, 'paused ' .. group)
"""
)


async def pause(redis: Redis, stream: str, group: str, *, paused: bool) -> bool:
    """Pause a group, or let it go on; its consumers learn of it within about two seconds.

    Returns:
        Whether that changed anything.

    Raises:
        redis.ResponseError: NOGROUP, when it does not exist.
        redis.RedisError: The server refused it or could not be reached.
    """
    changed = bool(await _PAUSE(redis, [stream, names.records(stream)], [group, int(paused)]))
    await announce(redis, [stream])
    return changed


async def is_paused(redis: Redis, stream: str, group: str) -> bool:
    """Whether a group is paused on a stream.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    return await redis.hget(names.records(stream), f"paused {group}") is not None

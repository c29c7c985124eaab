"""Leases on entries: take, renew, ack.

A lease is a row of the group's pending entries list: the entry belongs to a consumer until it has
been idle for the lease time. Every change checks in the same atomic step that the caller still
is that consumer.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from redis.asyncio import Redis

from abe_redis.envelope import Fields
from abe_redis.streams import names
from abe_redis.streams.scripts import Argument, Script


def by_stream(entries: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Pairs of stream and id as lists of ids per stream."""
    ids: dict[str, list[str]] = {}
    for stream, entry_id in entries:
        ids.setdefault(stream, []).append(entry_id)
    return ids


type Outcome = str
"""What became of an id: `done`, `not_held` (someone else holds it) or `unknown` (nobody does)."""


@dataclass(frozen=True, slots=True)
class Leased:
    """An entry that a consumer holds."""

    stream: str
    id: str
    fields: Fields
    deliveries: int
    """How often it has been delivered in this group, this time included."""


async def take_new(
    redis: Redis, group: str, consumer: str, streams: Sequence[str], *, count: int, block_ms: int | None
) -> list[Leased]:
    """Lease entries that nobody in the group has been given yet.

    Args:
        redis: The client; one for blocking reads when `block_ms` is given.
        group: The group.
        consumer: Who takes them.
        streams: Streams that all have the group.
        count: How many per stream at most; in publish order, and from the streams by turns.
        block_ms: For how many milliseconds to wait when there are none; None: not at all.

    Raises:
        redis.ResponseError: NOGROUP or WRONGTYPE, when one of the streams is not what it was.
        redis.RedisError: The server refused it or could not be reached.
    """
    reply: Any = await redis.xreadgroup(
        group, consumer, dict.fromkeys(streams, ">"), count=count, block=block_ms
    )
    per_stream = (
        [Leased(name, entry_id.decode(), fields, 1) for entry_id, fields in entries]
        for name, entries in ((stream.decode(), entries) for stream, entries in reply)
    )
    # By turns, so that no stream waits for all that was read of another.
    return [entry for turn in zip_longest(*per_stream) for entry in turn if entry is not None]


# XCLAIM answers nothing for an entry that was removed meanwhile, and forgets it: it is lost. An entry
# that was postponed is taken when it is due, however idle it is: until then it is dated anew. One that
# a handler had already may be what killed it, so it is not taken along with more than `count` others.
_TAKE_ABANDONED = Script("""
local group, consumer, lease_ms = ARGV[1], ARGV[2], ARGV[3]
local count, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, lost = {}, {}
for i = 1, #KEYS, 3 do
  local stream, due, records = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  local function take(row)
    if row[4] > 0 and #taken < limit then limit = math.max(count, math.min(limit, #taken)) end
    if #taken >= limit then return false end
    local entry = redis.call('XCLAIM', stream, group, consumer, 0, row[1])[1]
    if entry then
      taken[#taken + 1] = {stream, entry[1], entry[2], row[4] + 1}
    else
      redis.call('HINCRBY', records, 'lost ' .. group, 1)
      lost[#lost + 1] = stream
    end
    return true
  end
  if #taken >= limit then break end
  local postponed = redis.call('ZCARD', due)
  if postponed > 0 then
    for _, id in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit - #taken)) do
      local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
      if rows.err or not rows[1] or take(rows[1]) then redis.call('ZREM', due, id) end
    end
  end
  local rows = redis.pcall('XPENDING', stream, group, 'IDLE', lease_ms, '-', '+',
    math.min(1000, limit - #taken + postponed))
  for _, row in ipairs(rows.err and {} or rows) do
    if postponed > 0 and redis.call('ZSCORE', due, row[1]) then
      redis.call('XCLAIM', stream, group, row[2], 0, row[1], 'IDLE', 0, 'JUSTID')
    else
      take(row)
    end
  end
end
return {taken, lost}
""")


async def take_abandoned(
    redis: Redis,
    group: str,
    consumer: str,
    streams: Sequence[str],
    *,
    lease_seconds: float,
    count: int,
    fresh: int | None = None,
) -> tuple[list[Leased], Counter[str]]:
    """Lease entries whose lease is over, that were given back, or whose time has come.

    Args:
        redis: The client.
        group: The group.
        consumer: Who takes them.
        streams: Where to look.
        lease_seconds: For how long a lease is not over.
        count: How many at most when one of them was in a handler's hand before.
        fresh: How many at most when none was; by default `count`.

    Returns:
        The entries; and per stream, how many should have been among them but had been removed.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [key for stream in streams for key in (stream, names.due(stream, group), names.records(stream))]
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000), count, fresh or count]
    taken, lost = await _TAKE_ABANDONED(redis, keys, arguments)
    leased = [
        Leased(
            stream.decode(),
            entry_id.decode(),
            dict(zip(fields[::2], fields[1::2], strict=True)),
            int(deliveries),
        )
        for stream, entry_id, fields, deliveries in taken
    ]
    return leased, Counter(stream.decode() for stream in lost)


# What follows goes through entries of any streams: the number of a key, and an id, of each. A group
# or stream that is gone holds nothing.
_EACH_HELD = """
local group, consumer, answers = ARGV[1], ARGV[2], {}
for i = 3, #ARGV, 2 do
  local stream, id = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
  local row = not rows.err and rows[1]
  if row and row[2] == consumer then
    %s
    answers[#answers + 1] = 'done'
  else
    answers[#answers + 1] = row and 'not_held' or 'unknown'
  end
end
return answers
"""

_RENEW = Script(_EACH_HELD % "redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')")
_ACK = Script(_EACH_HELD % "redis.call('XACK', stream, group, id)")


async def _each_held(
    script: Script, redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]
) -> list[Outcome]:
    if not entries:
        return []
    numbers: dict[str, int] = {}
    arguments: list[Argument] = [group, consumer]
    for stream, entry_id in entries:
        arguments += (numbers.setdefault(stream, len(numbers) + 1), entry_id)
    return [outcome.decode() for outcome in await script(redis, list(numbers), arguments)]


async def renew(
    redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Begin leases anew.

    Args:
        redis: The client.
        group: The group.
        consumer: Who holds the entries.
        entries: Stream and id of each.

    Returns:
        Those that this consumer holds no longer.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    outcomes = await _each_held(_RENEW, redis, group, consumer, entries)
    return {entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome != "done"}


async def ack(redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]) -> list[Outcome]:
    """Finish entries that this consumer holds.

    Args:
        redis: The client.
        group: The group.
        consumer: Who holds the entries.
        entries: Stream and id of each.

    Returns:
        Per entry: `done`, `not_held` or `unknown`.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    return await _each_held(_ACK, redis, group, consumer, entries)

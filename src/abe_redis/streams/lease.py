"""Leases on entries: take, renew, ack and give back.

A lease is a row of the group's pending entries list: the entry belongs to a consumer until it has
been idle for the lease time. Every change checks in the same atomic step that the caller still
is that consumer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from abe_redis.envelope import Fields
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
        count: How many per stream at most; in publish order.
        block_ms: For how many milliseconds to wait when there are none; None: not at all.

    Raises:
        redis.ResponseError: NOGROUP or WRONGTYPE, when one of the streams is not what it was.
        redis.RedisError: The server refused it or could not be reached.
    """
    reply: Any = await redis.xreadgroup(
        group, consumer, dict.fromkeys(streams, ">"), count=count, block=block_ms
    )
    return [
        Leased(stream.decode(), entry_id.decode(), fields, 1)
        for stream, entries in reply
        for entry_id, fields in entries
    ]


# XCLAIM answers nothing for an entry that was trimmed away, and forgets it.
_TAKE_ABANDONED = Script("""
local group, consumer, lease_ms, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local taken = {}
for _, stream in ipairs(KEYS) do
  if #taken >= count then break end
  local rows = redis.pcall('XPENDING', stream, group, 'IDLE', lease_ms, '-', '+', count - #taken)
  for _, row in ipairs(rows.err and {} or rows) do
    local entry = redis.call('XCLAIM', stream, group, consumer, lease_ms, row[1])[1]
    if entry then taken[#taken + 1] = {stream, entry[1], entry[2], row[4] + 1} end
  end
end
return taken
""")


async def take_abandoned(
    redis: Redis, group: str, consumer: str, streams: Sequence[str], *, lease_seconds: float, count: int
) -> list[Leased]:
    """Lease entries whose lease is over, or that were given back.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000), count]
    return [
        Leased(
            stream.decode(),
            entry_id.decode(),
            dict(zip(fields[::2], fields[1::2], strict=True)),
            int(deliveries),
        )
        for stream, entry_id, fields, deliveries in await _TAKE_ABANDONED(redis, streams, arguments)
    ]


# A group or stream that is gone holds nothing.
_IS_HELD = """
local function state(stream, group, consumer, id)
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
  local row = not rows.err and rows[1]
  if not row then return 'unknown' end
  return row[2] == consumer and 'held' or 'not_held'
end
"""

_RENEW = Script(
    _IS_HELD
    + """
local stream, group, consumer, lost = KEYS[1], ARGV[1], ARGV[2], {}
for i = 3, #ARGV do
  local id = ARGV[i]
  if state(stream, group, consumer, id) == 'held' then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
  else
    lost[#lost + 1] = id
  end
end
return lost
"""
)


async def renew(
    redis: Redis, group: str, consumer: str, entries: Iterable[tuple[str, str]]
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
    lost: set[tuple[str, str]] = set()
    for stream, ids in by_stream(entries).items():
        gone = await _RENEW(redis, [stream], [group, consumer, *ids])
        lost |= {(stream, entry_id.decode()) for entry_id in gone}
    return lost


_ACK = Script(
    _IS_HELD
    + """
local stream, group, consumer, outcomes = KEYS[1], ARGV[1], ARGV[2], {}
for i = 3, #ARGV do
  local held = state(stream, group, consumer, ARGV[i])
  if held == 'held' then
    redis.call('XACK', stream, group, ARGV[i])
    held = 'done'
  end
  outcomes[#outcomes + 1] = held
end
return outcomes
"""
)


async def ack(redis: Redis, stream: str, group: str, consumer: str, ids: Sequence[str]) -> list[Outcome]:
    """Finish entries that this consumer holds.

    Returns:
        Per id: `done`, `not_held` or `unknown`.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    return [outcome.decode() for outcome in await _ACK(redis, [stream], [group, consumer, *ids])]


# TIME 0 is the epoch: a lease that ended long before anything else, so whoever looks next takes
# the entry at once, whatever its own lease time is. RETRYCOUNT sets the count that XREADGROUP
# and XCLAIM had raised.
_RELEASE = Script("""
local group, consumer, all, released = ARGV[1], ARGV[2], ARGV[3] == 'all', 0
local counts = {}
for i = 4, #ARGV, 3 do
  local stream = ARGV[i]
  counts[stream] = counts[stream] or {}
  counts[stream][ARGV[i + 1]] = tonumber(ARGV[i + 2])
end
for _, stream in ipairs(KEYS) do
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
    arguments: list[Argument] = [group, consumer, "all" if everything else "these"]
    for (stream, entry_id), count in known.items():
        arguments += (stream, entry_id, count)
    return int(await _RELEASE(redis, streams, arguments))

"""Leases on entries: take, renew, ack.

A lease is a row of the group's pending entries list: the entry belongs to a consumer until it has
been idle for the lease time. Every change checks in the same atomic step that the caller still
is that consumer.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.events.codec import Fields
from abe_redis.streams import names, slots
from abe_redis.streams.groups import NOTE_LOSS
from abe_redis.streams.scripts import Argument, Script


def by_stream(entries: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Pairs of stream and id as lists of ids per stream."""
    ids: dict[str, list[str]] = {}
    for stream, entry_id in entries:
        ids.setdefault(stream, []).append(entry_id)
    return ids


type Outcome = str
"""What became of an id: `done`, `not_held` (someone else holds it) or `unknown` (nobody does)."""


class Leased(NamedTuple):
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
    blocking: list[Argument] = [] if block_ms is None else ["BLOCK", block_ms]
    send: Any = redis.execute_command
    # In bytes, redis-py does not know the name, and leaves the answer as Redis gave it.
    reply: Any = await send(
        *(b"XREADGROUP", "GROUP", group, consumer, "COUNT", count, *blocking),
        *("STREAMS", *streams, *[">"] * len(streams)),
    )
    return _by_turns(reply or ())


def fields_of(flat: Sequence[bytes]) -> Fields:
    """A flat reply as fields."""
    if len(flat) == 2:  # noqa: PLR2004 - one field, as nearly always
        return {flat[0]: flat[1]}
    return dict(zip(flat[::2], flat[1::2], strict=True))


class Portion(NamedTuple):
    """How much to take of a stream."""

    stream: str
    most: int
    """So many entries at most."""
    last: str
    """The last id read of it; empty when it was empty then, so that nothing can have been removed unread."""


# With a read, Redis forgets that entries were removed unread, so they are counted before it. While
# the last entry we had, or an older one, is there, none was.
_TAKE_MORE = Script(
    NOTE_LOSS
    + """
local group, consumer, most, owner = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local answers, losses, taken, looked, behind, disowned = {}, {}, 0, 0, {}, {}
local function may_read(stream, key, last)
  if redis.call('GET', key) ~= owner then
    disowned[#disowned + 1] = stream
    return false
  end
  local of = group_of(stream, group)
  if not of or of['last-delivered-id'] == last then return true end
  behind[#behind + 1] = stream
  return false
end
local function read(i, at)
  local stream, last = KEYS[i], ARGV[at + 1]
  if owner ~= '' and not may_read(stream, KEYS[i + 2], last) then return end
  if last ~= '' and #redis.call('XRANGE', stream, '-', last, 'COUNT', 1) == 0 then
    local of = group_of(stream, group)
    local lost = of and note_loss(stream, KEYS[i + 1], of, facts(redis.call('XINFO', 'STREAM', stream))) or 0
    if lost > 0 then
      losses[#losses + 1] = stream
      losses[#losses + 1] = lost
    end
  end
  local count = math.min(ARGV[at], most - taken)
  local found = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>')
  if found and found.err then return found end
  if found then
    answers[#answers + 1] = found[1]
    taken = taken + #found[1][2]
  end
end
local stride, failure = owner == '' and 2 or 3, nil
for i = 1, #KEYS, stride do
  if taken >= most then break end
  failure = read(i, 5 + (i - 1) / stride * 2)
  if failure then break end
  looked = looked + 1
end
return {answers, losses, looked, behind, disowned, failure}
"""
)


@dataclass(slots=True)
class Taken:
    """What `take_more` found."""

    leased: list[Leased] = field(default_factory=list)
    """Of each stream in publish order, and from the streams by turns."""
    lost: dict[str, int] = field(default_factory=dict)
    """Per stream, how many entries somebody removed unread, as far as is news."""
    looked_at: list[str] = field(default_factory=list)
    """Streams that were read; the others were not, since it was enough."""
    more: set[str] = field(default_factory=set)
    """Those of them that may have more."""
    behind: set[str] = field(default_factory=set)
    """Those from which the group was given something that the owner does not know of."""
    disowned: set[str] = field(default_factory=set)
    """Those that belong to another owner."""
    failure: ResponseError | None = None
    """NOGROUP or WRONGTYPE, when a stream was not what it was."""


async def take_more(
    redis: Redis, group: str, consumer: str, portions: Sequence[Portion], *, most: int, owner: str = ""
) -> Taken:
    """Lease entries that nobody in the group has been given yet, without waiting for any.

    Args:
        redis: The client.
        group: The group.
        consumer: Who takes them.
        portions: How much of which streams, all of which have the group; the first come first.
        most: How many at most; in a cluster, per slot at least one.
        owner: Only of streams that belong to this owner, who has had all that the group was given of them:
            up to the portion's `last`.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    wanted = {portion.stream: portion for portion in portions}
    taken, found = Taken(), list[Any]()
    groups = slots.by_slot(redis, list(wanted))
    share = max(1, most // max(1, len(groups)))

    async def take(streams: Sequence[str]) -> None:
        arguments: list[Argument] = [group, consumer, share, owner]
        keys: list[str] = []
        for stream in streams:
            arguments += (wanted[stream].most, wanted[stream].last)
            keys += (stream, names.records(stream))
            if owner:
                keys.append(names.owner(stream, group))
        rows, losses, looked, behind, disowned, *failure = await _TAKE_MORE(redis, keys, arguments)
        taken.behind |= {stream.decode() for stream in behind}
        taken.disowned |= {stream.decode() for stream in disowned}
        found.extend(rows)
        taken.lost |= {name.decode(): lost for name, lost in zip(losses[::2], losses[1::2], strict=True)}
        taken.looked_at += streams[:looked]
        counts = {stream.decode(): len(entries) for stream, entries in rows}
        taken.more |= {stream for stream, count in counts.items() if count >= wanted[stream].most}
        if sum(counts.values()) >= share:
            taken.more.add(streams[looked - 1])  # which was cut short
        if failure:
            taken.failure = failure[0]

    await slots.each(groups, take)
    taken.leased = _by_turns(found)
    return taken


def _by_turns(found: Any) -> list[Leased]:  # noqa: ANN401 - as Redis gave it
    """Of each stream in its order; by turns, so that no stream waits for all that was read of another."""
    per_stream = [
        [Leased(name, entry_id.decode(), fields_of(flat), 1) for entry_id, flat in entries]
        for name, entries in ((stream.decode(), entries) for stream, entries in found)
    ]
    if len(per_stream) == 1:
        return per_stream[0]
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
    leased: list[Leased] = []
    lost: Counter[str] = Counter()
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000), count, fresh or count]
    for some in slots.by_slot(redis, streams):
        keys = [key for stream in some for key in (stream, names.due(stream, group), names.records(stream))]
        taken, gone = await _TAKE_ABANDONED(redis, keys, arguments)
        lost.update(stream.decode() for stream in gone)
        leased = [
            Leased(stream.decode(), entry_id.decode(), fields_of(fields), int(deliveries))
            for stream, entry_id, fields, deliveries in taken
        ]
        if leased:
            break
    return leased, lost


# What follows goes through entries of any streams: the number of a key, and an id, of each; the answer
# names those that were not done. A group or stream that is gone holds nothing.
_EACH_HELD = """
local group, consumer, answers = ARGV[1], ARGV[2], {}
for i = 3, #ARGV, 2 do
  local stream, id = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
  local row = not rows.err and rows[1]
  if row and row[2] == consumer then
    %s
  else
    answers[#answers + 1] = {(i - 3) / 2, row and 'not_held' or 'unknown'}
  end
end
return answers
"""

_RENEW = Script(_EACH_HELD % "redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')")
_ACK = Script(_EACH_HELD % "redis.call('XACK', stream, group, id)")


async def _each_held(
    script: Script, redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]
) -> list[Outcome]:
    outcomes = ["done"] * len(entries)
    places: dict[str, list[int]] = {}
    for at, (stream, _) in enumerate(entries):
        places.setdefault(stream, []).append(at)

    async def run(streams: Sequence[str]) -> None:
        arguments: list[Argument] = [group, consumer]
        theirs: list[int] = []
        for number, stream in enumerate(streams, 1):
            for at in places[stream]:
                arguments += (number, entries[at][1])
            theirs += places[stream]
        for at, outcome in await script(redis, streams, arguments):
            outcomes[theirs[at]] = outcome.decode()

    await slots.each(slots.by_slot(redis, list(places)), run)
    return outcomes


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
    outcomes = await whose(redis, group, consumer, entries)
    return {entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome != "done"}


async def whose(redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]) -> list[Outcome]:
    """As `renew`, but with the outcome for each entry; `done` for those that this consumer holds.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    return await _each_held(_RENEW, redis, group, consumer, entries)


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

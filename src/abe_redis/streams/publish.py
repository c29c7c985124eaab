"""Adding an event to a stream, once."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.scripts import Argument, Script

OWN_ID_SECONDS = 3600
"""How long an id is remembered that only serves our own retries."""

HEALTH_CHECKS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a published event."""

    id: str
    """The entry's id; of the first entry when this is a duplicate."""
    duplicate: bool
    """Whether the event was in the stream already, so that nothing was added."""
    length: int
    """How many entries the stream has now."""


# A remembered id counts only while its entry's stream exists: after a DEL or FLUSHALL the event
# is published anew. The attempt tells our own retry, whose first answer was lost, from a second
# publish of the same event.
_PUBLISH = Script("""
local stream, seen = KEYS[1], KEYS[2]
local attempt, remember_ms, hard_maxlen = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local length = redis.call('XLEN', stream)
if remember_ms > 0 and (length > 0 or redis.call('EXISTS', stream) == 1) then
  local known = redis.call('GET', seen)
  if known then
    local id, first = string.match(known, '^(%S+) (.*)$')
    return {id, first == attempt and 0 or 1, length}
  end
end
if length >= hard_maxlen then
  return redis.error_reply('STREAMFULL it has ' .. hard_maxlen .. ' entries')
end
local id = redis.call('XADD', stream, '*', unpack(ARGV, 4))
if remember_ms > 0 then
  redis.call('SET', seen, id .. ' ' .. attempt, 'PX', remember_ms)
end
return {id, 0, length + 1}
""")


async def publish(
    redis: Redis,
    stream: str,
    fields: dict[bytes, bytes],
    *,
    event_id: str,
    attempt: str,
    remember_seconds: float,
    hard_maxlen: int,
) -> Published:
    """Add an entry unless an event of this id was added before.

    Sending this again with the same `attempt` is safe, also when the answer to the first try was
    lost: there is one entry, and it is not called a duplicate.

    Args:
        redis: The client.
        stream: A checked stream name.
        fields: The entry.
        event_id: What makes the event the same event.
        attempt: A random word per call of the caller, the same in its retries.
        remember_seconds: For how long `event_id` is remembered; 0 adds without looking.
        hard_maxlen: A stream of so many entries takes no more.

    Raises:
        redis.ResponseError: STREAMFULL, when the stream is that long.
        redis.RedisError: The server refused it or could not be reached.
    """
    arguments: list[Argument] = [
        attempt,
        round(remember_seconds * 1000),
        hard_maxlen,
        *chain.from_iterable(fields.items()),
    ]
    entry_id, duplicate, length = await _PUBLISH(redis, [stream, names.seen(stream, event_id)], arguments)
    return Published(id=entry_id.decode(), duplicate=bool(duplicate), length=length)


async def publish_health_check(redis: Redis, stream: str, fields: dict[bytes, bytes]) -> Published:
    """Add a health check, and let about 100 of them stay.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    entry_id: Any = await redis.xadd(
        stream, dict[Any, Any](fields), maxlen=HEALTH_CHECKS_KEPT, approximate=False
    )
    return Published(id=entry_id.decode(), duplicate=False, length=HEALTH_CHECKS_KEPT)


# Valkey and Redis both replicate the effect of a script, so the server's own clock is allowed.
_ANNOUNCE = Script("""
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for _, name in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, name) end
return redis.status_reply('OK')
""")


async def announce(redis: Redis, streams: list[str]) -> None:
    """Write streams into the index in which consumers find new ones.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    await _ANNOUNCE(redis, [names.INDEX], streams)

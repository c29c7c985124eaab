"""Dead letters: entries that a group gave up on."""

from typing import Any

from redis.asyncio import Redis

from abe_redis.envelope import UndecodableError, decode
from abe_redis.streams import names
from abe_redis.streams.lease import Leased
from abe_redis.streams.scripts import Script


class CondemnedError(Exception):
    """The entry is to be buried; its first argument says why."""


def open_leased(entry: Leased, max_deliveries: int) -> dict[str, Any]:
    """The payload of a leased entry that can be handed out.

    Raises:
        CondemnedError: It cannot: nobody finished it in so many deliveries, or it holds no payload.
    """
    if entry.deliveries > max_deliveries:
        raise CondemnedError(f"delivered {entry.deliveries - 1} times without an ack")
    try:
        return decode(entry.fields)
    except UndecodableError as error:
        raise CondemnedError(str(error)) from None


# The original fields stay as they are, whatever they hold; what we say about them stands beside.
_BURY = Script("""
local stream, dead = KEYS[1], KEYS[2]
local group, consumer, id, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local row = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
if not row then return 0 end
local entry = redis.call('XRANGE', stream, id, id)[1]
if entry then
  local fields, time = entry[2], redis.call('TIME')
  for _, extra in ipairs({
    'abe:reason', reason, 'abe:stream', stream, 'abe:group', group, 'abe:id', id,
    'abe:deliveries', row[4], 'abe:consumer', consumer, 'abe:at', time[1],
  }) do fields[#fields + 1] = extra end
  redis.call('XADD', dead, '*', unpack(fields))
end
redis.call('XACK', stream, group, id)
return 1
""")


async def bury(redis: Redis, stream: str, group: str, consumer: str, entry_id: str, reason: str) -> bool:
    """Move an entry that this consumer holds to the dead letters, and ack it, in one step.

    Returns:
        False when another consumer holds it by now; then nothing was changed.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    keys = [stream, names.dead_letters(stream)]
    return bool(await _BURY(redis, keys, [group, consumer, entry_id, reason]))

"""Letting go of entries that are not done: at once, or to be taken up again later.

TIME 0 is the epoch: a lease that ended long before anything else, so whoever looks next takes the
entry at once, whatever its own lease time is. RETRYCOUNT sets the count that XREADGROUP and XCLAIM
had raised.
"""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

_POSTPONE = Script.load("postpone")

MAX_DELAY_SECONDS = 7 * 86_400
"""The longest that an entry can be postponed."""


async def postpone(
    redis: Redis,
    stream: str,
    group: str,
    consumer: str,
    entry_id: str,
    *,
    delay_seconds: float,
    counted: bool = True,
) -> bool:
    """Give an entry back, to be taken up again after a delay.

    Args:
        stream: Where it is.
        consumer: Who gives it back.
        entry_id: Which entry.
        delay_seconds: Not before so many seconds have passed.
        counted: Whether it counts as delivered.

    Returns:
        False when another consumer holds it by now; then nothing was changed.
    """
    delay_ms = round(min(max(delay_seconds, 0), MAX_DELAY_SECONDS) * 1000)
    arguments: list[Argument] = [group, consumer, entry_id, delay_ms, 2 * MAX_DELAY_SECONDS * 1000]
    arguments.append(0 if counted else 1)
    return bool(await _POSTPONE(redis, [stream, names.due(stream, group)], arguments))


_RELEASE = Script.load("release")

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
        consumer: Who gives them back.
        streams: Where to look.
        known: Stream and id of entries, each with the number of deliveries it shall have from
            now on, or `KEEP`.
        everything: Also what the consumer holds beside the known ones, as not delivered: what a
            cancelled or failed read left with it unseen.

    Returns:
        How many were given back.
    """

    async def give(some: Sequence[str]) -> int:
        arguments: list[Argument] = [group, consumer, "all" if everything else "these"]
        theirs = set(some)
        for (stream, entry_id), count in known.items():
            if stream in theirs:
                arguments += (stream, entry_id, count)
        return int(await _RELEASE(redis, names.with_records(some), arguments))

    return sum(await slots.each(slots.by_slot(redis, streams), give))

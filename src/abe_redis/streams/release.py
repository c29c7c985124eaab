"""Releasing unfinished entries: at once, or postponed.

TIME 0 is the epoch, a lease that expired before any other, so the next consumer takes the entry at once,
whatever its own lease time is. RETRYCOUNT sets the count that XREADGROUP and XCLAIM had raised.
"""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

_POSTPONE = Script.load("postpone")

MAX_DELAY_SECONDS = 7 * 86_400
"""The longest time for which an entry can be postponed."""


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
    """Release an entry, to be delivered again after a delay.

    Args:
        stream: Its stream.
        consumer: The consumer that holds it.
        entry_id: Its id.
        delay_seconds: Seconds until it is due.
        counted: Count the delivery.

    Returns:
        False when another consumer holds it by now; then nothing was changed.
    """
    delay_ms = round(min(max(delay_seconds, 0), MAX_DELAY_SECONDS) * 1000)
    arguments: list[Argument] = [group, consumer, entry_id, delay_ms, 2 * MAX_DELAY_SECONDS * 1000]
    arguments.append(0 if counted else 1)
    return bool(await _POSTPONE(redis, [stream, names.due(stream, group)], arguments))


_RELEASE = Script.load("release")

KEEP = -1
"""Instead of a number of deliveries: `release` leaves this entry with its consumer."""


async def release(
    redis: Redis,
    group: str,
    consumer: str,
    streams: Sequence[str],
    known: Mapping[tuple[str, str], int],
    *,
    everything: bool,
) -> int:
    """Release entries, so that the next consumer takes them.

    A consumer that holds nothing afterwards is removed from the group. Deleted streams and groups are
    skipped.

    Args:
        consumer: The consumer that holds them.
        streams: Where to look.
        known: Stream and id of entries, each with its number of deliveries from now on, or `KEEP`.
        everything: Also release all other entries that the consumer holds, without counting a delivery:
            those of unconfirmed reads.

    Returns:
        The number of released entries.
    """

    async def give(some: Sequence[str]) -> int:
        arguments: list[Argument] = [group, consumer, "all" if everything else "these"]
        theirs = set(some)
        for (stream, entry_id), count in known.items():
            if stream in theirs:
                arguments += (stream, entry_id, count)
        return int(await _RELEASE(redis, names.with_records(some), arguments))

    return sum(await slots.each(slots.by_slot(redis, streams), give))

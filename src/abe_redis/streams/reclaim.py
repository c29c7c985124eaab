"""Taking entries that nobody holds any more: their lease has expired, they were released, or they are due."""

from collections import Counter
from collections.abc import Sequence

from redis.asyncio import Redis

from abe_redis.runtime import clock
from abe_redis.streams import names, slots
from abe_redis.streams.lease import Leased, fields_of
from abe_redis.streams.scripts import Argument, Script

_RECLAIM = Script.load("reclaim")


async def reclaim(
    redis: Redis,
    group: str,
    consumer: str,
    streams: Sequence[str],
    *,
    lease_seconds: float,
    count: int,
    fresh: int | None = None,
    begun: bool = True,
) -> tuple[list[Leased], Counter[str]]:
    """Lease entries whose lease has expired, that were released, or that are due.

    Args:
        consumer: Who takes them.
        streams: Where to look.
        lease_seconds: The duration of the consumer's leases; those of others last as they said.
        count: How many at most when one of them was in a handler's hand before.
        fresh: How many at most when none was; by default `count`.
        begun: Whether this delivery counts from now on; else `hold` has to say when it begins.

    Returns:
        The entries; and per stream, how many of them had been removed.
    """
    leased: list[Leased] = []
    lost: Counter[str] = Counter()
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000), count, fresh or count]
    arguments.append(int(begun))
    for some in slots.by_slot(redis, streams):
        keys = [
            key
            for stream in some
            for key in (stream, names.due(stream, group), names.records(stream), names.leases(stream, group))
        ]
        asked_at = clock.now()
        taken, gone = await _RECLAIM(redis, keys, arguments)
        lost.update(stream.decode() for stream in gone)
        leased = [
            Leased(
                *(stream.decode(), entry_id.decode(), fields_of(fields), int(deliveries), asked_at),
                again=bool(again),
            )
            for stream, entry_id, fields, deliveries, again in taken
        ]
        if leased:
            break
    return leased, lost

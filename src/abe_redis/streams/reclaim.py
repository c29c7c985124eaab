"""Reclaims entries that nobody holds any more: their lease expired, they were released, or they are due."""

from collections import Counter, deque
from collections.abc import MutableMapping, Sequence
from itertools import batched
from typing import Any

from redis.asyncio import Redis

from abe_redis.runtime import clock
from abe_redis.streams import names, slots
from abe_redis.streams.lease import Leased, fields_of
from abe_redis.streams.losses import say_put_back, say_unlisted
from abe_redis.streams.scripts import Argument, Script

NOTHING_PENDING = ""
"""The place in a stream without pending entries."""
FIRST = "-"
"""The place in a stream whose pending entries are read from the first one."""

_MOST_PAGES = 20
"""Pages of streams with many pending entries that one reclaim looks at; the next one goes on behind them."""
_MOST_POSTPONED_PAGES = 100
"""The same for calls that postponed entries took up, each once: see `reclaim.lua`."""

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
    recent_seconds: float = 0,
    beside_read: bool = False,
    places: MutableMapping[str, str] | None = None,
) -> tuple[list[Leased], Counter[str]]:
    """Lease entries whose lease has expired, that were released, or that are due.

    Args:
        consumer: The consumer that takes them.
        streams: Where to look.
        lease_seconds: The duration of the consumer's leases; those of other consumers last as they recorded.
        count: Most entries if a handler had one of them before.
        fresh: Most entries if no handler had any; by default `count`.
        begun: Whether this delivery counts from now on; otherwise `hold` counts it when it begins.
        recent_seconds: Time for which one consumer's list of pending entries does for all: what somebody
            dropped with a consumer is not looked for again in that time.
        beside_read: Whether a blocking read of the consumer may be under way, or without its answer.
        places: Per stream where to begin; updated with the place that this call has reached.

    Returns:
        The entries; and per stream, how many of them had been removed.
    """
    places = {} if places is None else places
    lost: Counter[str] = Counter()
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000), count, fresh or count]
    arguments += (int(begun), round(recent_seconds * 1000), int(beside_read))
    pages, postponed_pages = _MOST_PAGES, _MOST_POSTPONED_PAGES
    for slot in slots.by_slot(redis, streams):
        left = deque(slot)
        while left:
            some = [left.popleft() for _ in range(min(len(left), slots.MANY_STREAMS))]
            keys = names.with_all(some, group)
            begins = (places.get(one) or FIRST for one in some)
            asked_at = clock.now()
            taken, gone, looked, put_back, unlisted = await _RECLAIM(redis, keys, [*arguments, *begins])
            lost.update(stream.decode() for stream in gone)
            for stream, some_back in batched(put_back, 2):
                say_put_back(stream.decode(), group, some_back)
            for stream, hidden in batched(unlisted, 2):
                say_unlisted(stream.decode(), group, hidden)
            for stream, place in zip(some, (place.decode() for place in looked), strict=False):
                places[stream] = place
                if place == NOTHING_PENDING or place.startswith(FIRST):
                    continue
                if place.startswith("("):
                    pages -= 1
                else:
                    postponed_pages -= 1
                if pages >= 0 <= postponed_pages:
                    left.append(stream)
            if taken:
                return [_leased(row, asked_at) for row in taken], lost
            left.extendleft(reversed(some[len(looked) :]))
    return [], lost


def _leased(row: Any, asked_at: float) -> Leased:  # noqa: ANN401 - as Redis gave it
    stream, entry_id, fields, deliveries, again = row
    return Leased(
        *(stream.decode(), entry_id.decode(), fields_of(fields), int(deliveries), asked_at), again=bool(again)
    )

"""How long handlers hold their events: recorded in Redis, and logged when one takes too long."""

import logging
import time
from collections import deque
from collections.abc import Collection, Iterable

from redis.asyncio import Redis

from abe_redis.consuming.held import Held
from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.events.log_fields import of
from abe_redis.settings import Settings
from abe_redis.streams import hold_times as notes

FEWEST = 3
"""Number of finished events needed before a running one is compared with them."""
BY_FAR = 10
"""An event is reported when it takes this many times as long as the longest of them."""

_LOG = logging.getLogger(__name__)


class Holding:
    """How long the handlers of one consumer hold their events."""

    def __init__(self, settings: Settings, group: str, consumer: str) -> None:
        self._lease_seconds = settings.redis_stream_lease_seconds
        self._group = group
        self._consumer = consumer
        self._tolerance = Tolerance(settings, group)
        self._took: deque[float] = deque(maxlen=100)
        self._told: set[Held] = set()
        self._noted: set[str] = set()
        """Streams for which Redis has a record of ours."""

    def ended(self, held: Held) -> None:
        """Note that a handler has finished with an event."""
        if held.handed_at is not None:
            self._took.append(time.monotonic() - held.handed_at)

    async def tell(self, redis: Redis, at_work: Iterable[Held], *, away: Collection[str] = ()) -> None:
        """Record since when handlers hold their events, and warn of those that take too long.

        Args:
            redis: The client.
            at_work: The events that handlers work on.
            away: Streams whose node is away, so that what it knows of them stays as it is.

        Raises:
            redis.RedisError: The server could not be reached.
        """
        now = time.monotonic()
        held = {one: now - one.handed_at for one in at_work if one.handed_at is not None}
        self._warn({one: seconds for one, seconds in held.items() if not one.lost})
        streams = {one.entry.stream for one in held}
        kept = {stream for stream in self._noted if stream in away}
        if told := sorted((streams | self._noted) - kept):
            said = [notes.Held(*one.key, one.begun, seconds) for one, seconds in held.items()]
            full = any(one.is_of_full for one in held)
            noting = notes.note(redis, self._group, self._consumer, told, said, full=full)
            await self._tolerance.attempt("noting since when events are held", noting)
        self._noted = streams | kept

    def _warn(self, held: dict[Held, float]) -> None:
        """Warn once of each event that is held for longer than a lease and far longer than its peers."""
        self._told &= held.keys()
        if len(self._took) < FEWEST:
            return
        longest = max(0.1, *self._took)
        bound = max(self._lease_seconds, BY_FAR * longest)
        for one, seconds in held.items():
            if seconds > bound and one not in self._told:
                self._told.add(one)
                _LOG.warning(
                    "Consumer %r has held %s of %r for %.0f s; none of the last %d events took longer than "
                    "%.1f s. Its handler may be stuck: see where it waits, or give it a time limit.",
                    *(self._consumer, one.entry.id, one.entry.stream, seconds, len(self._took), longest),
                    extra=of(one.entry.stream, one.entry.id, self._group),
                )

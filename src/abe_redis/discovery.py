"""Which streams a consumer reads: new ones are found, those that went away are let go."""

import logging
import time

from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.discover import Search, announced, ensure_group

_LOG = logging.getLogger(__name__)

MISSING_SECONDS = 60
"""How long we ask for a stream that went away, before only its publisher or a search finds it."""

_WHOLE_INDEX_EVERY = 64


class Discovery:
    """The streams that match some patterns and have a group, kept up to date tick by tick.

    An idle tick costs two commands, whatever the number of streams, and a third while there are none.
    """

    def __init__(self, patterns: names.Patterns, group: str) -> None:
        self.ready: dict[str, None] = {}
        """Streams that have the group, in the order in which they were found."""
        self._patterns = patterns
        self._group = group
        self._search = Search(patterns)
        self._missing: dict[str, float] = dict.fromkeys(patterns.literals, float("inf"))
        """Names to ask for again, each until a monotonic time."""
        self._known_until = 0.0
        self._ticks = 0

    async def tick(self, redis: Redis) -> None:
        """Look for streams: in the index, by name, and now and then in the keyspace.

        Raises:
            redis.RedisError: The server refused it or could not be reached.
        """
        self._ticks += 1
        # Now and then the whole index, since a failover may set the server's clock back.
        since = 0.0 if self._ticks % _WHOLE_INDEX_EVERY == 0 else self._known_until
        found, self._known_until = await announced(redis, since)
        asked = [name for name in found if self._patterns.match(name) and name not in self.ready]
        if self._ticks % 2 or not self.ready:
            asked += self._missing
        if not self._ticks % 2:
            await self._search.step(redis)
        if asked:
            await self._ask(redis, list(dict.fromkeys(asked)))

    def recheck(self) -> None:
        """Ask for every stream again: one of them is not what it was."""
        until = time.monotonic() + MISSING_SECONDS
        for stream in self.ready:
            self._missing.setdefault(stream, until)
        self.ready.clear()

    async def _ask(self, redis: Redis, asked: list[str]) -> None:
        """Sort names into those we read and those to ask for again."""
        now = time.monotonic()
        for name, state in zip(asked, await ensure_group(redis, asked, self._group), strict=True):
            if state == "ready":
                self.ready[name] = None
                self._missing.pop(name, None)
                _LOG.debug("Group %r reads %r.", self._group, name)
            elif self._missing.setdefault(name, now + MISSING_SECONDS) < now:
                del self._missing[name]

"""Tells consumers, through the index in which they look, of streams with news."""

import time
from functools import partial

from abe_redis.client.connections import Connections
from abe_redis.publishing.retry import retry
from abe_redis.streams import slots
from abe_redis.streams.names import INDEX
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import announce

ANNOUNCE_SECONDS = 30
"""Time after which a stream is written into the index again, in case the index was deleted."""


class Announcer:
    """The streams of a publisher that are to be announced, and when each was."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._again_at: dict[str, float] = {}
        self._due: dict[str, None] = {}
        """What a lost connection leaves here is announced with the next event, whatever its stream."""

    def forget(self, stream: str) -> None:
        """Announce a stream anew: it is new, perhaps since FLUSHALL has taken the index, too."""
        self._again_at.pop(stream, None)

    def is_due(self, stream: str) -> bool:
        """Whether something is to be announced after an event of this stream."""
        if time.monotonic() >= self._again_at.get(stream, 0) and self._patterns.match(stream):
            self._due[stream] = None
        return bool(self._due)

    async def tell(self, connections: Connections, *, seconds: float) -> None:
        """Announce what is due.

        Args:
            connections: They are made anew when one is lost.
            seconds: For how long it tries.

        Raises:
            redis.RedisError: The server refused it or could not be reached.
        """
        if not self._due or not slots.is_here(connections.commands, INDEX):
            return
        streams, now = list(self._due), time.monotonic()
        telling = partial(announce, connections.commands, streams)
        await retry(telling, seconds=seconds, between=connections.revive)
        for stream in streams:
            self._again_at[stream] = now + ANNOUNCE_SECONDS
            self._due.pop(stream, None)

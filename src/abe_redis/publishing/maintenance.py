"""What publishing does for its streams beside adding events: it announces and trims them."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.client.passing_states import STREAM_FULL, code_of
from abe_redis.errors import ClosedError
from abe_redis.events.published import Published
from abe_redis.publishing.announcer import Announcer
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.settings import Settings
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.trim import Trimmer

_LOG = logging.getLogger(__name__)

_SECONDS = 0.4
"""Time that a finished publish may still spend on the maintenance of its stream."""


class Maintenance:
    """The maintenance of the streams to which a publisher adds events."""

    def __init__(
        self, settings: Settings, patterns: Patterns, connections: Callable[[], Awaitable[Connections]]
    ) -> None:
        self._settings = settings
        self._open = connections
        self._trimmer = Trimmer(settings)
        self._announcer = Announcer(patterns)

    async def make_room(self, error: BaseException, streams: set[str]) -> None:
        """Remove finished events from a full server or stream."""
        with suppress(*failures.FAILURES), anyio.move_on_after(_SECONDS):
            redis = (await self._open()).commands
            if code_of(error) == STREAM_FULL:
                await self._trimmer.trim(redis, streams)
            else:
                await self._trimmer.make_room(redis, streams)

    def is_due(self, stream: str, published: Published) -> bool:
        """Whether the stream needs maintenance now."""
        if isinstance(published, Kept):
            return False
        if published.length == 1:
            self._announcer.forget(stream)
        return self._announcer.is_due(stream) or self._trimmer.is_due(stream, published.length)

    async def tend_to_all(self, added: list[Published]) -> None:
        """Maintain the streams of some events, each once."""
        for published in added:
            if published.length == 1:
                self._announcer.forget(published.stream)
        for stream, last in {published.stream: published for published in added}.items():
            await self.tend(stream, last)

    async def tend(self, stream: str, published: Published) -> None:
        """Maintain a stream; the event is safe even if this fails."""
        if not self.is_due(stream, published):
            return
        try:
            with anyio.move_on_after(_SECONDS):
                connections = await self._open()
                await self._announcer.tell(connections, seconds=_SECONDS)
                if self._trimmer.is_due(stream, published.length):
                    await self._trimmer.trim(connections.commands, [stream])
        except ClosedError:
            pass
        except failures.FAILURES as error:
            level = logging.DEBUG if failures.passes(error) else logging.WARNING
            sentence = failures.explain(error, self._settings, doing=f"announcing or trimming {stream!r}")
            _LOG.log(level, "The event was published, but: %s", sentence)

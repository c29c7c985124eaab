"""Acks and burials of one consumer: together with its next read, or soon."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import anyio

from abe_redis import faults
from abe_redis.connection import Connections
from abe_redis.holdings import Holdings
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)

ACK_SECONDS = 0.02
"""What is finished is acked after so long at the latest, together with what else is finished by then."""


class Settler:
    """Lets go of what is finished; it alone acks and buries while the consumer lives."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        settings: Settings,
        holdings: Holdings,
        group: str,
    ) -> None:
        self.finished = asyncio.Event()
        """Set when there is something to settle."""
        self.reading = asyncio.Event()
        """Set when a command goes out anyway."""
        self._open = connections
        self._settings = settings
        self._holdings = holdings
        self._group = group

    async def run(self) -> None:
        """Settle until cancelled; a failure that passes is a pause.

        Raises:
            AbeRedisError: Redis refused it for a reason that waiting does not cure.
        """
        failures = 0
        while True:
            await self.finished.wait()
            self.reading.clear()
            with anyio.move_on_after(ACK_SECONDS):
                await self.reading.wait()
            self.finished.clear()
            try:
                redis = (await self._open()).commands
                await self._holdings.ack(redis)
                await self._holdings.bury(redis)
                failures = 0
            except faults.FAILURES as error:
                if not faults.passes(error):
                    raise faults.explain(
                        error, self._settings, doing=f"acking in group {self._group!r}"
                    ) from None
                failures += 1
                _LOG.debug("An ack in group %r has to wait: %s", self._group, type(error).__name__)
                await anyio.sleep(faults.pause_seconds(failures))
                self.finished.set()

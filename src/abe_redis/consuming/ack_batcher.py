"""The acks and burials of one consumer, sent together with its next read, or soon.

Acks and counts of starts go out first: what a process has not told Redis when it is killed happens again.
What else there is to settle goes beside them, for it may be much, or wait for memory.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.consuming.in_flight import InFlight
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)

ACK_SECONDS = 0.02
"""Longest time that a finished event waits to be acked; events that finish in that time join the batch."""


class AckBatcher:
    """Acks finished events and counts begun deliveries; while the consumer runs, nothing else does."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        settings: Settings,
        in_flight: InFlight,
        group: str,
    ) -> None:
        self.finished = asyncio.Event()
        """Set when there is an event to settle."""
        self.reading = asyncio.Event()
        """Set when another command goes out, so that acks can join it."""
        self._left_over = asyncio.Event()
        """Set when there is something to settle that is neither an ack nor a start."""
        self._open = connections
        self._settings = settings
        self._in_flight = in_flight
        self._group = group

    async def send(self) -> None:
        """Send the acks of finished events before the next event, which may kill this process."""
        await anyio.lowlevel.checkpoint()
        self.reading.set()
        await anyio.lowlevel.checkpoint()

    async def run(self) -> None:
        """Ack and count until cancelled.

        Raises:
            AbeRedisError: Redis refused for a reason that waiting does not fix.
        """
        while True:
            await self.finished.wait()
            self.reading.clear()
            with anyio.move_on_after(ACK_SECONDS):
                await self.reading.wait()
            self.finished.clear()
            self._pass_on()
            await self._until_done(self._in_flight.ack, self._in_flight.count_starts)
            self._pass_on()
            if self._in_flight.has_untold:
                self.finished.set()

    async def run_leftovers(self) -> None:
        """Do the rest until cancelled, which may take long, and holds up no ack.

        Raises:
            AbeRedisError: Redis refused for a reason that waiting does not cure.
        """
        in_flight = self._in_flight
        steps = in_flight.say_parted, in_flight.return_late, in_flight.say_counts
        while True:
            await self._left_over.wait()
            await anyio.sleep(ACK_SECONDS)
            self._left_over.clear()
            await self._until_done(*steps, in_flight.bury)  # last, since it waits when Redis has no memory
            self._pass_on()

    def _pass_on(self) -> None:
        if self._in_flight.has_leftovers:
            self._left_over.set()

    async def _until_done(self, *steps: Callable[[Redis], Awaitable[None]]) -> None:
        """Do these steps; after a temporary failure, wait and do them again."""
        failed = 0
        while True:
            try:
                redis = (await self._open()).commands
                for step in steps:
                    await step(redis)
            except failures.FAILURES as error:
                sentence = failures.explain(error, self._settings, doing=f"acking in group {self._group!r}")
                is_odd = failures.stream_is_gone(error)  # a key of another type, until somebody removes it
                if not failures.passes_for_who_was_let_in(error) and not is_odd:
                    raise sentence from None
                failed += 1
                level = logging.WARNING if is_odd and failed == 1 else logging.DEBUG
                _LOG.log(level, "An ack in group %r has to wait: %s", self._group, sentence)
                await anyio.sleep(failures.pause_seconds(failed))
            else:
                return

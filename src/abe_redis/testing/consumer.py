"""One consumer of a group in memory, as an `EventStream` uses it."""

import asyncio
import time
from collections.abc import Callable

from abe_redis.errors import LeaseLostError
from abe_redis.events.event import Event
from abe_redis.streams.patterns import Patterns
from abe_redis.testing.delivery import Delivery, MemoryGroups


class MemoryConsumer:
    """Satisfies `ConsumerProtocol`."""

    def __init__(
        self,
        groups: MemoryGroups,
        is_reachable: Callable[[], bool],
        patterns: Patterns,
        *,
        group: str,
        name: str,
        most_deliveries: int,
        ordered: bool,
    ) -> None:
        self.group = group
        self.name = name
        self.on_connected: Callable[[], None] = lambda: None
        self._groups = groups
        self._is_reachable = is_reachable
        self._patterns = patterns
        self._most_deliveries = most_deliveries
        self._ordered = ordered
        self._in_hand: dict[tuple[str, str], Delivery] = {}
        self._waiting = False
        self._draining = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def allow(self, deliveries: int) -> None:
        """Bury an event after this many deliveries."""
        self._most_deliveries = deliveries

    async def next(self) -> Event:
        """Finish the events in flight and wait for the next one; StopAsyncIteration when closed."""
        for delivery in list(self._in_hand.values()):
            self.finish(delivery)
        taken = await self.take()
        if taken is None:
            raise StopAsyncIteration
        return taken.event

    async def take(self) -> Delivery | None:
        """Wait for an event without finishing the others; None when closed."""
        if self._waiting:
            raise RuntimeError("Two tasks ask the same consume() for an event; give each its own.")
        if self._loop is None:
            self.on_connected()
        self._loop = asyncio.get_running_loop()
        self._waiting = True
        try:
            while not (self._closed or self._draining):
                taken, seconds = self._take()
                if taken is not None:
                    return taken
                await self._groups.change(seconds=_POLL_SECONDS if seconds is None else seconds)
        finally:
            self._waiting = False
        return None

    def get_nowait(self) -> Delivery | None:
        """An event that is there already."""
        return None if self._closed or self._draining or self._loop is None else self._take()[0]

    def _take(self) -> tuple[Delivery | None, float | None]:
        if not self._is_reachable():
            return None, _POLL_SECONDS
        self._groups.join(self.group)
        delivery, seconds = self._groups.next(
            self.group, self._patterns, ordered=self._ordered, most_deliveries=self._most_deliveries
        )
        if delivery is None:
            return None, seconds
        entry = delivery.entry
        delivery.deliveries += 1
        delivery.holder = self
        delivery.opened = Event(
            entry.payload(),
            stream=entry.stream,
            group=self.group,
            id=entry.id,
            deliveries=delivery.deliveries,
            origin=entry.origin,
            merged_types=entry.merged_types,
            arrival=entry.arrival,
            holder=self,
        )
        self._in_hand[entry.stream, entry.id] = delivery
        return delivery, None

    def finish(self, delivery: Delivery) -> None:
        """Finish an event in flight."""
        if self._let_go(delivery):
            self._groups.finish(self.group, delivery)

    def ended(self, delivery: Delivery) -> None:
        """Note that the handler of an event has ended."""

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None:
        """Give an event in flight back, to be delivered again after a delay in seconds."""
        delivery = self._held(event)
        if counted:
            delivery.last_words = reason or ""
        delivery.deliveries -= not counted
        self._let_go(delivery)
        delivery.give_back(due=time.monotonic() + delay if delay else 0.0)
        self._groups.changed()

    async def bury(self, event: Event, *, reason: str) -> None:
        """Move an event in flight to the dead letters."""
        delivery = self._held(event)
        self._let_go(delivery)
        self._groups.bury(self.group, delivery, reason)

    def stop_fetching(self) -> None:
        """Stop fetching; events in flight stay."""
        self._draining = True
        self._groups.changed()

    async def close(self) -> None:
        """Release the events in flight, and end."""
        self._close()

    def abandon(self) -> None:
        """Close soon; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed() and not self._closed:
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        self._closed = True
        for delivery in list(self._in_hand.values()):
            if not delivery.is_left and self._let_go(delivery):
                delivery.give_back()
        self._groups.changed()

    def _held(self, event: Event) -> Delivery:
        delivery = self._in_hand.get((event.stream, event.id))
        if delivery is None or delivery.opened is not event:
            raise LeaseLostError
        return delivery

    def _let_go(self, delivery: Delivery) -> bool:
        """Stop holding an event; False if it was no longer held."""
        self._in_hand.pop((delivery.entry.stream, delivery.entry.id), None)
        return delivery.holder is self


_POLL_SECONDS = 0.05
"""How soon a consumer finds that Redis is back; nothing else is polled for."""

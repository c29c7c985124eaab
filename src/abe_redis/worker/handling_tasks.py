"""The tasks of a worker: each handles one event after the other.

A task has one cancel scope for all its events, since a scope for each costs more than the rest of the task.
When an event is lost, the scope is cancelled and ends with that event; the next event has another scope.

A handler may never wait for anything. So the tasks let the event loop go on: after as many events as there
are tasks, and after the first that ends when the handlers have had it for a millisecond. To do so after each
event costs as much as a small handler.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from abe_redis.consuming.protocols import ConsumerProtocol, InFlightEvent
from abe_redis.observability import hooks
from abe_redis.observability.hooks import EndOfHandling, Outcome
from abe_redis.worker.call import is_cancelled
from abe_redis.worker.overdue import Overdue
from abe_redis.worker.threads import Slot

_LOG = logging.getLogger(__name__)

type Handle = Callable[[Any], Awaitable[Any]]

LEAVE_SECONDS = 3.0
"""Time that cancelled handlers get to end when the worker ends; those that go on are left behind."""

TURN_SECONDS = 0.001
"""How long the handlers of one worker that wait for nothing have the event loop, all together."""


class _Turn:
    """The turn of the event loop that the handlers of one worker have."""

    def __init__(self, events: int) -> None:
        self._events = events
        """How many events may end in it, before the event loop goes on."""
        self._left = 0
        self._ends_at: float | None = None

    def is_over(self) -> bool:
        """Whether the event loop has to go on, after one more event."""
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at, self._left = now + TURN_SECONDS, self._events
            asyncio.get_running_loop().call_soon(self._end)
        self._left -= 1
        return self._left <= 0 or now >= self._ends_at

    def _end(self) -> None:
        self._ends_at = None


class _InHand:
    """The event that a task handles, and its outcome so far."""

    __slots__ = ("cancelled", "end", "failure", "held", "outcome")

    def __init__(self) -> None:
        self.held: InFlightEvent | None = None
        self.end: EndOfHandling | None = None
        self.outcome: Outcome = "given_back"
        self.failure: Exception | None = None
        self.cancelled: str | None = None
        """Why its handler was cancelled, to be said when it has ended."""


def _say_cancelled(slot: Slot, why: str) -> None:
    if slot.responds_to is None:
        _LOG.warning("The handler %s was cancelled: %s.", slot, why, extra=slot.facts)
    else:
        _LOG.warning(
            "The handler %s had returned, but Redis had not taken its result for %r: %s. The event is "
            "delivered again, so its handler runs again.",
            *(slot, slot.responds_to, why),
            extra=slot.facts,
        )


class HandlingTasks(ABC):
    """A worker's tasks, and how many events they handle."""

    def __init__(self, concurrency: int = 1) -> None:
        self._stopping = anyio.Event()
        self._concurrency = concurrency
        self._overdue = Overdue(concurrency, self._stopping.is_set)
        self._name = ""
        self._turn = _Turn(concurrency)
        self._at_work = 0
        self._slots: list[Slot] = []
        self._is_closed = anyio.Event()
        """Whether the backend was closed while a handler was at work."""
        self.given_back = 0
        """Deliveries whose handler was cancelled because the worker ended."""

    @abstractmethod
    async def _treat(
        self, member: ConsumerProtocol, held: InFlightEvent, handle: Handle
    ) -> tuple[Outcome, Exception | None]:
        """Handle or refuse an event, and settle it; return the outcome and the handler's exception."""

    async def _work(self, member: ConsumerProtocol, handle: Handle, asking: anyio.Lock) -> None:
        """Handle events until the worker stops or the consumer is closed."""
        goes_on, slot = True, Slot(self._name, self._overdue)
        self._slots.append(slot)
        while goes_on and not self._stopping.is_set():
            in_hand = _InHand()
            scope = anyio.CancelScope()
            try:
                with scope:
                    goes_on = await self._handle_until_lost(member, handle, asking, slot, scope, in_hand)
            except BaseException as error:
                was_cancelled = isinstance(error, asyncio.CancelledError)
                if was_cancelled and scope.cancel_called and not is_cancelled():
                    continue  # the scope left it to us: the handler has not undone a cancellation of its own
                is_given_back = in_hand.held is not None and in_hand.outcome == "given_back"
                if was_cancelled and is_given_back:
                    in_hand.cancelled = "the worker ends"
                member.stop_fetching()  # or another task begins what waits behind this event
                raise
            finally:
                if in_hand.held is not None:
                    was_lost = scope.cancel_called and in_hand.outcome == "given_back" and not is_cancelled()
                    await self._end(member, in_hand.held, in_hand, slot, was_lost=was_lost)

    def _what_ends_them(self) -> str:
        """What becomes of the handlers at work that are cancelled now, as words behind others."""
        in_threads = sum(slot.is_kept for slot in self._slots)
        left = "in threads, which nothing can stop: their events are not given back if they go on"
        if in_threads == self._at_work:
            return f"they run {left}"
        back = "they are cancelled and give their events back at their end"
        return f"{back}, but {in_threads} run {left}" if in_threads else back

    async def _leave_those_that_go_on(self, member: ConsumerProtocol, ended: anyio.Event) -> None:
        """When this is cancelled or the backend is closed, wait for the handlers for a bounded time.

        The consumer is closed before, so that it gives back no event on which somebody still works.
        """
        try:
            await self._is_closed.wait()
        finally:
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(LEAVE_SECONDS):
                    await ended.wait()
                if not ended.is_set():
                    await member.close()
                    for slot in self._slots:
                        slot.leave_coroutine()

    async def _handle_until_lost(
        self,
        member: ConsumerProtocol,
        handle: Handle,
        asking: anyio.Lock,
        slot: Slot,
        scope: anyio.CancelScope,
        in_hand: _InHand,
    ) -> bool:
        """Handle events while none is lost; False when there are no more."""
        turn = self._turn

        def lose() -> None:
            if scope.cancel_called:  # it was lost before, and now the consumer is closed
                slot.leave()
            if scope.cancel_called or (in_hand.held is not None and not in_hand.held.lost):
                self._is_closed.set()
            scope.cancel()

        while not self._stopping.is_set():
            held: InFlightEvent | None = member.get_nowait()
            if held is None:
                async with asking:
                    held = await member.take()
                if held is None:
                    return False
            self._at_work += 1
            in_hand.held, in_hand.outcome, in_hand.failure = held, "given_back", None
            slot.begin(held)
            in_hand.end = hooks.handling(held.event)
            held.on_lost = lose  # the consumer that holds it now handles it
            in_hand.outcome, in_hand.failure = await self._treat(member, held, handle)
            if scope.cancel_called:
                return True
            self._ended(member, held, in_hand)
            if turn.is_over():
                await asyncio.sleep(0)
        return False

    async def _end(
        self, member: ConsumerProtocol, held: InFlightEvent, in_hand: _InHand, slot: Slot, *, was_lost: bool
    ) -> None:
        """Finish with an event whose handler was cancelled: wait for its thread if the worker goes on.

        A function that goes on at the end of the worker keeps its event until its lease ends.
        """
        try:
            if was_lost:
                self._note_cancelled(held, in_hand, slot)
            if in_hand.outcome == "lost":
                await slot.wait()
            else:
                await slot.wait_a_moment()
        except asyncio.CancelledError:
            member.stop_fetching()
            raise
        finally:
            held.is_left = slot.is_kept and not held.lost
            if in_hand.cancelled is not None and not (slot.is_kept or slot.is_left):
                _say_cancelled(slot, in_hand.cancelled)
            self.given_back += in_hand.outcome == "given_back" and not (slot.is_left or held.is_left)
            slot.leave()
            self._ended(member, held, in_hand)

    def _note_cancelled(self, held: InFlightEvent, in_hand: _InHand, slot: Slot) -> None:
        """Note that a handler was cancelled, though the worker goes on."""
        in_hand.outcome = "lost" if held.lost else "given_back"
        if not held.lost:
            in_hand.cancelled = "the backend is closed"
            return
        why = "its lease was lost"
        if slot.is_kept:
            why += (
                ". It goes on in a thread, which nothing can stop, and keeps its place among the handlers at "
                "work until it ends; its result does not count"
            )
        _say_cancelled(slot, why)

    def _ended(self, member: ConsumerProtocol, held: InFlightEvent, in_hand: _InHand) -> None:
        """Finish with an event: its loss no longer cancels anything."""
        held.on_lost = None
        in_hand.held = None
        self._at_work -= 1
        if in_hand.end is not None:
            in_hand.end(in_hand.outcome, in_hand.failure)
        member.ended(held)

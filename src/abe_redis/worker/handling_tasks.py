"""The tasks of a worker: each handles one event after the other.

A task has one cancel scope for all its events, since a scope for each costs more than the rest of the task.
When an event is lost, the scope is cancelled and ends with that event; the next event has another scope.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from abe_redis.consuming.protocols import ConsumerProtocol, InFlightEvent
from abe_redis.observability import hooks
from abe_redis.observability.hooks import EndOfHandling, Outcome
from abe_redis.worker.call import is_cancelled

_LOG = logging.getLogger(__name__)

type Handle = Callable[[Any], Awaitable[Any]]


class _InHand:
    """The event that a task has in hand, and what became of it so far."""

    __slots__ = ("end", "failure", "held", "name", "outcome")

    def __init__(self) -> None:
        self.held: InFlightEvent | None = None
        self.name = ("", "")
        """Id and stream, which the log needs also when it is settled."""
        self.end: EndOfHandling | None = None
        self.outcome: Outcome = "given_back"
        self.failure: Exception | None = None


class HandlingTasks(ABC):
    """A worker's tasks, and how many events they have in hand."""

    def __init__(self) -> None:
        self._stopping = anyio.Event()
        self._at_work = 0
        self.given_back = 0
        """Deliveries whose handler was cancelled because the worker ended."""

    @abstractmethod
    async def _treat(
        self, member: ConsumerProtocol, held: InFlightEvent, handle: Handle
    ) -> tuple[Outcome, Exception | None]:
        """Handle or refuse an event, and settle it; return the outcome and the handler's exception."""

    async def _work(self, member: ConsumerProtocol, handle: Handle, asking: anyio.Lock) -> None:
        """Handle events until the worker stops or the consumer is closed."""
        goes_on = True
        while goes_on and not self._stopping.is_set():
            in_hand = _InHand()
            scope = anyio.CancelScope()
            try:
                with scope:
                    goes_on = await self._handle_until_lost(member, handle, asking, scope, in_hand)
            except asyncio.CancelledError:
                if not scope.cancel_called or is_cancelled():
                    self.given_back += in_hand.held is not None and in_hand.outcome == "given_back"
                    raise
                # The scope left it to us, since the handler has not taken back a cancellation of its own.
            finally:
                if (held := in_hand.held) is not None:
                    if scope.cancel_called and in_hand.outcome == "given_back" and not is_cancelled():
                        self._note_cancelled(held, in_hand)
                    self._ended(member, held, in_hand)

    async def _handle_until_lost(
        self,
        member: ConsumerProtocol,
        handle: Handle,
        asking: anyio.Lock,
        scope: anyio.CancelScope,
        in_hand: _InHand,
    ) -> bool:
        """Handle events while none is lost; False when there are no more."""
        while not self._stopping.is_set():
            held: InFlightEvent | None = member.get_nowait()
            if held is None:
                async with asking:
                    held = await member.take()
                if held is None:
                    return False
            self._at_work += 1
            in_hand.held, in_hand.outcome, in_hand.failure = held, "given_back", None
            event = held.event
            in_hand.name = (event.id, event.stream)
            in_hand.end = hooks.handling(event)
            held.on_lost = scope.cancel  # the consumer that holds it now handles it
            in_hand.outcome, in_hand.failure = await self._treat(member, held, handle)
            if scope.cancel_called:
                return True
            self._ended(member, held, in_hand)
            await asyncio.sleep(0)  # a handler may never wait for anything
        return False

    def _note_cancelled(self, held: InFlightEvent, in_hand: _InHand) -> None:
        """Note that a handler was cancelled, though the worker goes on."""
        in_hand.outcome = "lost" if held.lost else "given_back"
        self.given_back += not held.lost
        why = "its lease was lost" if held.lost else "the backend is closed"
        _LOG.warning("The handler of %s of %r was cancelled: %s.", *in_hand.name, why)

    def _ended(self, member: ConsumerProtocol, held: InFlightEvent, in_hand: _InHand) -> None:
        """Let go of an event: its loss cancels nothing any more."""
        held.on_lost = None
        in_hand.held = None
        self._at_work -= 1
        if in_hand.end is not None:
            in_hand.end(in_hand.outcome, in_hand.failure)
        member.ended(held)

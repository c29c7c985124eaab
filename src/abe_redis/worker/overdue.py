"""The handlers of one worker that go on beyond their limit, and its words when they hold all its places."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from abe_redis.observability import hooks
from abe_redis.runtime.plurals import duration

if TYPE_CHECKING:
    from abe_redis.consuming.protocols import InFlightEvent
    from abe_redis.events.event import Event

_LOG = logging.getLogger("abe_redis.worker.event_worker")

AGAIN_SECONDS = 60.0
"""Interval at which the log says again that the worker stands still."""


class HeldSlot(Protocol):
    """A slot whose handler can be beyond its limit; its `str` names the handler and the event."""

    event: "Event | None"
    held: "InFlightEvent | None"
    """The event, as its consumer holds it."""
    begun_at: float
    """When the handler began, by the monotonic clock."""

    def where(self) -> str:
        """Where its function is, as words behind others."""


@dataclass(frozen=True, slots=True)
class _Since:
    """A handler beyond its limit."""

    at: float
    name: str
    """Its own and the event's, which the slot has no more when it has ended."""
    end: hooks.EndOfOverdue


class Overdue:
    """Counts the places among the handlers at work that are held by handlers beyond their limit.

    A worker of which all places are held so takes no events, although it is alive.
    """

    def __init__(self, places: int, is_ending: Callable[[], bool] = lambda: False) -> None:
        """Begin with none.

        Args:
            places: Number of events that the worker handles at the same time.
            is_ending: Whether the worker takes no more events anyway.
        """
        self._places = places
        self._is_ending = is_ending
        self._held: dict[HeldSlot, _Since] = {}
        """The longest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, slot: HeldSlot) -> None:
        """Note that the handler in a place is beyond its limit, or has lost its lease."""
        if slot in self._held or slot.event is None:
            return
        self._held[slot] = _Since(time.monotonic(), str(slot), hooks.overdue(slot.event))
        if len(self._held) == self._places:
            self._note_full(is_full=True)
            self._say()

    def end(self, slot: HeldSlot, *, is_left: bool = False) -> None:
        """Note that it has ended, or that the worker leaves it behind."""
        if slot not in self._held:
            return
        if self._timer is not None:
            self._note_full(is_full=False)
        since = self._held.pop(slot)
        since.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if not is_left and not self._is_ending():
                late = duration(time.monotonic() - since.at)
                _LOG.warning(
                    "This worker takes events again: %s has ended, %s after its limit.", since.name, late
                )

    def _note_full(self, *, is_full: bool) -> None:
        """Let the consumer tell Redis with its next renewal, so that whoever looks learns it."""
        for slot in self._held:
            if slot.held is not None:
                slot.held.is_of_full = is_full

    def _say(self) -> None:
        if not self._is_ending():
            slot, since = next(iter(self._held.items()))
            _LOG.warning(
                "This worker takes no events: handlers beyond their limit hold all its places (%d), and "
                "nothing can stop them. The longest, %s, has gone on for %s%s. Give what it waits for a "
                "limit of its own, and restart this worker: others then handle its events.",
                self._places,
                since.name,
                duration(time.monotonic() - slot.begun_at),
                slot.where(),
            )
        self._timer = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._say)

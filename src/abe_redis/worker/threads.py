"""Plain functions as handlers: each runs in a thread, which nothing can stop.

So a function keeps its event and its slot among the events at work until it ends, also beyond its time limit,
as a coroutine does that ignores its cancellation. After a lost lease, which is renewed for no longer than
`REDIS_STREAM_MAX_HANDLING_SECONDS`, its slot alone waits for it; at the end of the worker, it is left behind
with its event, which is not given back.
It may ask `anyio.from_thread.check_cancelled()` whether it should end.
"""

import asyncio
import inspect
import logging
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from abe_redis.events.log_fields import of_event
from abe_redis.runtime import fork
from abe_redis.sanitize.exceptions import place_of_frame
from abe_redis.worker.overdue import Overdue

if TYPE_CHECKING:
    from abe_redis.consuming.protocols import InFlightEvent
    from abe_redis.events.event import Event

_LOG = logging.getLogger("abe_redis.worker.event_worker")

_MOMENT_SECONDS = 0.5
"""Time that a function gets at the end of its worker, to see that it should end."""


class Slot:
    """The place of one event at work in a worker, and the threads that keep it."""

    def __init__(self, handler: str, overdue: Overdue) -> None:
        self._handler = handler
        self._overdue = overdue
        self.event: Event | None = None
        """The last event in it, which the log needs also when it is settled."""
        self.held: InFlightEvent | None = None
        """The same, as its consumer holds it."""
        self.begun_at = 0.0
        """When that began, by the monotonic clock."""
        self.function: str | None = None
        """The name of the handler's own function that is at work on it, as a listener of an app."""
        self.responds_to: str | None = None
        """The stream that its result is being published to: the handler has returned."""
        self._threads: dict[asyncio.Task[Any], tuple[anyio.CancelScope, anyio.CancelScope, _Thread]] = {}
        """Each with the scope that its function may ask, and the scope of who waits for it."""
        self._is_beyond = False
        self.waits_in: anyio.CancelScope | None = None
        """Where a cancelled coroutine is waited for."""
        self.is_left = False
        """Whether a coroutine went on when the worker ended."""
        _SLOT.set(self)

    @property
    def is_kept(self) -> bool:
        """Whether a function is at work in it."""
        return not all(thread.done() for thread in self._threads)

    @property
    def handler(self) -> str:
        """The name of what is at work."""
        return self.function or self._handler

    @property
    def facts(self) -> dict[str, object]:
        """What the log says about its event in fields of their own."""
        return {} if self.event is None else of_event(self.event)

    def begin(self, held: "InFlightEvent") -> None:
        """Take an event in."""
        self.held, self.event, self.function, self.begun_at = held, held.event, None, time.monotonic()
        self.responds_to = None

    def __str__(self) -> str:
        about = "" if self.event is None else f"of {self.event.id} of {self.event.stream!r}"
        return f"{self.handler} {about}".strip()

    def was_beyond(self) -> bool:
        """Whether the last function has ended beyond its limit; asked once."""
        beyond, self._is_beyond = self._is_beyond, False
        return beyond

    def where(self) -> str:
        """Where the function is that holds this place, as words behind others."""
        frames = sys._current_frames()  # noqa: SLF001 - documented, in spite of its name
        found = [frames.get(place.id) for task, (*_, place) in self._threads.items() if not task.done()]
        return "".join(f" at {place_of_frame(frame)}" for frame in found[:1] if frame is not None)

    async def result_of(self, thread: asyncio.Task[Any], asked: anyio.CancelScope, place: "_Thread") -> Any:  # noqa: ANN401
        """Wait for a function, however long it takes, unless `let_go` is called.

        Raises:
            CancelledError: It was called.
        """
        loop, limit = asyncio.get_running_loop(), anyio.current_effective_deadline()
        alarm = None
        if limit != math.inf:
            alarm = loop.call_at(limit, self._pass_limit, asked, time.monotonic())
        try:
            with anyio.CancelScope(shield=True) as waiting:
                self._threads[thread] = asked, waiting, place
                while not thread.done():
                    try:
                        await asyncio.wait([thread])
                    except asyncio.CancelledError:  # `asyncio.timeout` cannot end a thread, either
                        if waiting.cancel_called:
                            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        if not thread.done():
            raise asyncio.CancelledError
        self._threads.pop(thread, None)
        self._overdue.end(self)
        self._is_beyond = anyio.current_effective_deadline() == -math.inf
        return thread.result()

    def _pass_limit(self, asked: anyio.CancelScope, begun: float) -> None:
        asked.cancel()
        _LOG.warning(
            "The handler %s is beyond its limit, after %.3g s, in a thread, which nothing can stop: it keeps "
            "its place among the handlers at work until it ends, and its event while the lease is renewed.",
            *(self, time.monotonic() - begun),
            extra=self.facts,
        )
        self._overdue.begin(self)

    def outlast(self) -> None:
        """Note that a coroutine goes on although it was cancelled."""
        if not self.is_kept:
            _LOG.warning(
                "The handler %s goes on although it was cancelled, %.3g s after it began, as a bare "
                "`except:` lets it: it keeps its place among the handlers at work until it ends.",
                *(self, time.monotonic() - self.begun_at),
                extra=self.facts,
            )
            self._overdue.begin(self)

    def leave_coroutine(self) -> None:
        """No longer wait for a cancelled coroutine that goes on."""
        if self.waits_in is None:
            return
        self.is_left = True
        self._overdue.end(self, is_left=True)
        self.waits_in.cancel()
        _LOG.warning(
            "The handler %s goes on although it was cancelled, as a bare `except:` lets it; this worker no "
            "longer waits for it. Its event %s.",
            *(self, self._outcome()),
            extra=self.facts,
        )

    def _outcome(self) -> str:
        """What became of the event of a handler that is left behind."""
        if self.held is not None and self.held.lost:
            return "was lost before"
        return "is not given back but delivered again when its lease ends: the handler may still work on it"

    def end(self) -> None:
        """Note that a coroutine has ended."""
        if not self.is_kept:
            self._overdue.end(self)

    def let_go(self) -> None:
        """Wake who waits for a function, which goes on."""
        for asked, waiting, _ in self._threads.values():
            asked.cancel()
            waiting.cancel()

    async def wait(self) -> None:
        """Wait until the functions have ended that were let go."""
        if self._threads:
            self._overdue.begin(self)
            await asyncio.wait(list(self._threads))

    async def wait_a_moment(self) -> None:
        """Wait for the functions that end because they were let go, as they can see."""
        if self.is_kept:
            with anyio.CancelScope(shield=True):
                await asyncio.wait(list(self._threads), timeout=_MOMENT_SECONDS)

    def leave(self) -> None:
        """Forget about the functions that were let go, and log those that go on."""
        self._overdue.end(self, is_left=self.is_kept)
        if self.is_kept:
            _LOG.warning(
                "The handler %s goes on in a thread, which nothing can stop; this worker no longer waits for "
                "it. Its event %s.",
                *(self, self._outcome()),
                extra=self.facts,
            )
        for thread in self._threads:
            thread.cancel()
        self._threads.clear()


_SLOT = ContextVar[Slot | None]("_SLOT", default=None)


def current_slot() -> Slot | None:
    """The slot in which this runs; None outside a worker."""
    return _SLOT.get()


def in_thread(handler: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    """A plain function as a coroutine function: it runs in a thread, for which its slot waits.

    Outside a worker, a cancellation abandons it there.
    """
    # The caller is the bound. With the 40 threads that everybody shares, abandoned threads would delay other
    # handlers, and that wait would count as their time.
    threads = anyio.CapacityLimiter(math.inf)

    async def run(asked: anyio.CancelScope, value: Any, place: _Thread) -> Any:  # noqa: ANN401 - the handler's
        with asked:
            return await anyio.to_thread.run_sync(_outcome, handler, value, place, limiter=threads)

    async def call_in_thread(value: Any) -> Any:  # noqa: ANN401 - the handler's
        await anyio.lowlevel.checkpoint_if_cancelled()
        asked, slot, place = anyio.CancelScope(), current_slot(), _Thread()
        thread = asyncio.Task(run(asked, value, place), loop=asyncio.get_running_loop(), eager_start=True)
        outcome = await (thread if slot is None else slot.result_of(thread, asked, place))
        if isinstance(outcome, _Raised):
            raise outcome.error
        return await outcome if inspect.isawaitable(outcome) else outcome

    return call_in_thread


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a function raised: no future passes on every exception, as StopIteration and GeneratorExit."""

    error: BaseException


@dataclass(slots=True)
class _Thread:
    """The thread in which a function runs."""

    id: int = 0
    """As `threading.get_ident` says; 0 until it runs."""


def _outcome(handler: Callable[[Any], Any], value: Any, place: _Thread) -> Any:  # noqa: ANN401 - the handler's
    place.id = threading.get_ident()
    forks, failure = fork.generation(), None
    try:
        return handler(value)
    except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
        failure = error
        return _Raised(error)
    finally:
        fork.end_if_child(forks, failure)

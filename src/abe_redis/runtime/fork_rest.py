"""Lets the other threads of abe-redis rest while the process forks.

A child has the thread that forked, and whatever the others were in the middle of: a lock that one of them
held stays locked in it for ever, also that of a module that it was importing. So a fork waits until the event
loops of other threads are between two steps, and our calls in threads have ended. They go on when it is over.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from weakref import WeakSet

import anyio
import anyio.to_thread

MOST_SECONDS = 5.0
"""Longest time for which a fork waits: a thread that does not rest may wait for the one that forks."""

_LOOK_SECONDS = 0.05


class _Gate:
    """Closed while the process forks; counts, by thread, the calls that have passed it.

    A signal handler may interrupt any of it and pass the gate itself, in the same thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._inside: dict[int, int] = {}
        self._is_closed = self._is_held = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Be inside; wait before that while the process forks."""
        me = threading.get_ident()
        with self._changed:
            while self._is_closed and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                left = self._inside.pop(me) - 1
                if left:
                    self._inside[me] = left
                self._changed.notify_all()

    def close(self) -> None:
        """Let no other thread in."""
        self._is_closed = True

    def hold(self, until: float) -> None:
        """Wait until no call of another thread is inside, and keep all as it is."""
        me = threading.get_ident()
        self._changed.acquire()
        self._is_held = True
        self._changed.wait_for(lambda: not self._inside.keys() - {me}, max(0.0, until - time.monotonic()))

    def open(self) -> None:
        """Let all in."""
        self._is_closed = False
        if self._is_held:
            self._is_held = False
            self._changed.notify_all()
            self._changed.release()

    def only_this_thread(self) -> None:
        """Forget the calls of all other threads, which a child does not have."""
        me = threading.get_ident()
        self._inside = {me: self._inside[me]} if me in self._inside else {}


_gate = _Gate()
_loops: "WeakSet[asyncio.AbstractEventLoop]" = WeakSet()
_joining = threading.RLock()
_go_on = threading.Event()


def rests(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop rest whenever another thread forks, for as long as it lives."""
    if loop not in _loops:
        with _joining:
            _loops.add(loop)


async def in_thread[*A, T](
    call: Callable[[*A], T], *arguments: *A, limiter: anyio.CapacityLimiter | None = None
) -> T:
    """Make a call that blocks in a thread; a fork waits for its end, and it does not begin during one.

    Args:
        call: The call; one of our own, and a short one.
        arguments: What it gets.
        limiter: As for `anyio.to_thread.run_sync`.
    """

    def called() -> T:
        with _gate.passed():
            return call(*arguments)

    return await anyio.to_thread.run_sync(called, limiter=limiter)


def undivided() -> AbstractContextManager[None]:
    """What is done in it is short, and done as a whole before or after a fork that another thread makes."""
    return _gate.passed()


def before_fork() -> None:
    """Wait until the other threads rest. Called in the thread that forks."""
    global _go_on  # noqa: PLW0603 - a process forks once at a time
    until = time.monotonic() + MOST_SECONDS
    go_on = _go_on = threading.Event()
    with _joining:
        loops = list(_loops)
    resting = [(loop, _told(loop, go_on)) for loop in loops if _runs_elsewhere(loop)]
    _gate.close()
    for loop, rest in resting:
        while not rest.wait(_LOOK_SECONDS) and loop.is_running() and time.monotonic() < until:
            pass
    _gate.hold(until)


def after_fork() -> None:
    """Let the others go on, in the parent."""
    _go_on.set()
    _gate.open()


def forked() -> None:
    """Begin without the other threads, and without their loops, which would never rest, in the child."""
    global _joining, _loops  # noqa: PLW0603 - a process has one of each
    _joining = threading.RLock()
    here = _running_here()
    _loops = WeakSet(loop for loop in _loops if loop is here)
    _gate.only_this_thread()
    after_fork()


def _running_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _runs_elsewhere(loop: asyncio.AbstractEventLoop) -> bool:
    return loop is not _running_here() and loop.is_running()


def _told(loop: asyncio.AbstractEventLoop, go_on: threading.Event) -> threading.Event:
    """Tell a loop to rest; what is returned is set as soon as it does."""
    rests = threading.Event()

    def rest() -> None:
        rests.set()
        go_on.wait()

    try:
        loop.call_soon_threadsafe(rest)
    except RuntimeError:  # it was closed just now
        rests.set()
    return rests

"""An event loop whose time and whose turns are the simulation's, and whose connections lead to its server."""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, override

if TYPE_CHECKING:
    from tests.simulation.process import Process


def _hash_in(options: dict[str, Any]) -> int:
    loop: SimulatedLoop = options["loop"]
    return loop.hash()


class _Future(asyncio.Future[Any]):
    """A future whose place in a set does not depend on where it lies in memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._hash = _hash_in(options)

    def __hash__(self) -> int:
        return self._hash


class _Task[T](asyncio.Task[T]):
    """The same of a task."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._hash = _hash_in(options)  # a new task is put into a set at once
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._hash


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of one process. What is ready runs in its order, as asyncio promises."""

    # What else a loop can do (signals, files, subprocesses) nobody asks for here, and it raises.
    __abstractmethods__: frozenset[str] = frozenset()

    def __init__(self, process: "Process") -> None:
        self._process = process
        self.ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._numbers = 0
        self.tasks: list[asyncio.Task[Any]] = []
        """Every task that was made, so that none is left when the process is killed."""
        self.failures: list[dict[str, Any]] = []
        """What nobody caught."""

    def number(self) -> int:
        """A number that nothing else in this process has."""
        self._numbers += 1
        return self._numbers

    def hash(self) -> int:
        """A hash by chance: small numbers would collide in the sets that all loops share."""
        return self._process.world.hash()

    # What the simulation calls ------------------------------------------------------------------

    def run_once(self) -> None:
        """Run what is ready now, and not what becomes ready by that."""
        ready = self.ready
        events._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                if not ready:  # the process was killed by what it did
                    break
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)

    @property
    def next_us(self) -> int | None:
        """When the next timer is due, by the process's clock."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    @property
    def has_timers(self) -> bool:
        """Whether something waits for a time."""
        return bool(self._timers)

    def wake(self, now_us: int) -> None:
        """Let timers ring that are due."""
        timers = self._timers
        while timers and timers[0][0] <= now_us:
            self.ready.append(heapq.heappop(timers)[2])

    def discard(self) -> None:
        """Run nothing more."""
        self.ready.clear()
        self._timers.clear()

    # What asyncio and its users call --------------------------------------------------------------

    @override
    def time(self) -> float:
        return self._process.monotonic()

    @override
    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if self._process.alive:  # what the dead had asked for comes to nothing
            self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    @override
    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    @override
    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (-int(-when * 1_000_000 // 1), self.number(), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    @override
    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)

    @override
    def create_task[T](
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task: _Task[T] = _Task(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        return task

    @override
    async def create_unix_connection(  # type: ignore[override]
        self, factory: Any, *args: Any, **options: Any
    ) -> Any:
        return await self._process.connect(factory)

    @override
    def get_task_factory(self) -> None:
        return None

    @override
    def get_debug(self) -> bool:
        return False

    @override
    def is_running(self) -> bool:
        return True

    @override
    def is_closed(self) -> bool:
        return not self._process.alive

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._process.alive:
            self.failures.append(context)

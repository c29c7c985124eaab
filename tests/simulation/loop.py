"""An event loop whose time and whose turns are the simulation's, and whose connections lead to its server."""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, override

if TYPE_CHECKING:
    from tests.simulation.process import Process


class _Future(asyncio.Future[Any]):
    """A future whose place in a set does not depend on where it lies in memory."""

    hash: int

    def __hash__(self) -> int:
        return self.hash


class _Task[T](asyncio.Task[T]):
    """The same of a task."""

    def __init__(self, coro: Any, loop: "SimulatedLoop", name: str | None, context: Context | None) -> None:
        self._hash = loop.hash()  # a new task is put into a set at once
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._hash


class _Handle(asyncio.TimerHandle):
    """A call that waits for its turn or its time, without what asyncio does for those who look for faults."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: Any, context: Context | None
    ) -> None:
        self._context = copy_context() if context is None else context
        self._callback, self._args, self._loop = callback, args, loop
        self._cancelled = False

    @override
    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of one process. What is ready runs in its order, as asyncio promises."""

    # What else a loop can do (signals, files, subprocesses) nobody asks for here, and it raises.
    __abstractmethods__: frozenset[str] = frozenset()

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._world = process.world
        self.hash = process.world.hash
        """A hash by chance: small numbers would collide in the sets that all loops share."""
        self.ready: deque[_Handle] = deque()
        self.timers: list[tuple[int, int, _Handle]] = []
        """By the process's clock."""
        self._numbers = 0
        self.tasks: list[asyncio.Task[Any]] = []
        """Every task that was made, so that none is left when the process is killed."""
        self.failures: list[dict[str, Any]] = []
        """What nobody caught."""

    def number(self) -> int:
        """A number that nothing else in this process has."""
        self._numbers += 1
        return self._numbers

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
                    try:
                        handle._context.run(handle._callback, *handle._args)
                    except (KeyboardInterrupt, SystemExit):
                        raise
                    except BaseException as error:  # noqa: BLE001 - a callback's is told, and the next one runs
                        self.call_exception_handler({"message": "a callback failed", "exception": error})
        finally:
            events._set_running_loop(None)

    def discard(self) -> None:
        """Run nothing more."""
        self.ready.clear()
        self.timers.clear()

    # What asyncio and its users call --------------------------------------------------------------

    @override
    def time(self) -> float:
        process = self._process
        return (self._world.now_us + process.ahead_us) / 1_000_000

    @override
    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
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
        timer = _Handle(callback, args, self, context)
        self._numbers += 1
        heapq.heappush(self.timers, (-int(-when * 1_000_000 // 1), self._numbers, timer))
        return timer

    @override
    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        future.hash = self.hash()
        return future

    @override
    def create_task[T](
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task: _Task[T] = _Task(coro, self, name, context)
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
        return asyncio._get_running_loop() is self

    @override
    def is_closed(self) -> bool:
        return not self._process.alive

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._process.alive:
            self.failures.append(context)

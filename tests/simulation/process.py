"""A simulated process: a loop, clocks of its own, and the way to the server."""

import contextlib
import heapq
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal

from anyio._backends._asyncio import CancelScope, _task_states

from abe_redis.runtime.clock import LeaseClock
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Connection, Link

if TYPE_CHECKING:
    from tests.simulation.world import World

type How = Literal["pause", "suspend", "stop machine"]

_BOOTED_US = 5_000_000_000

# anyio cancels scopes in the order of a set, which must not depend on where they lie in memory.
_scope: Any = CancelScope
_scope.__hash__ = lambda scope: hash(scope._host_task)


class Process:
    """A process. The real engine runs in it and knows no better."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self.world = world
        self.alive = True
        self.ahead_us = _BOOTED_US
        """What the monotonic clock has more than the world's: less for as long as it stood still."""
        self.loop = SimulatedLoop(self)  # type: ignore[abstract]
        self.ready, self.timers = self.loop.ready, self.loop.timers
        self.link = Link(world, world.chance_of(name))
        self.connections: set[Connection] = set()
        self.paused_until_us = 0
        self._standstills: list[tuple[int, int, How]] = []
        """From when until when it was to stand still."""
        self._stopped_us = 0
        """For how long all its clocks stood still but the wall clock, which was set then."""
        self.lease_clock = LeaseClock(self.boottime, lambda: world.now)

    # Clocks -------------------------------------------------------------------------------------

    @property
    def monotonic_us(self) -> int:
        """The monotonic clock, which stands still while the machine is suspended."""
        return self.world.now_us + self.ahead_us

    def monotonic(self) -> float:
        """The same in seconds."""
        return (self.world.now_us + self.ahead_us) / 1_000_000

    def boottime(self) -> float:
        """The clock that goes on while the machine is suspended, in seconds."""
        return (self.world.now_us - self._stopped_us + _BOOTED_US) / 1_000_000

    # Its life -----------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task in it."""
        self.loop.create_task(work, name=name)

    def wake(self) -> None:
        """Let timers ring that are due."""
        timers, now_us = self.timers, self.world.now_us + self.ahead_us
        while timers and timers[0][0] <= now_us:
            self.ready.append(heapq.heappop(timers)[2])

    def run_once(self) -> None:
        """Let it go on until it waits."""
        if self.timers and self.timers[0][0] <= self.world.now_us + self.ahead_us:
            self.wake()
        self.loop.run_once()

    # Faults -------------------------------------------------------------------------------------

    def pause(self, seconds: float, how: How) -> None:
        """Let it stand still: by SIGSTOP, with its machine, or with the host of its machine."""
        begin = max(self.paused_until_us, self.world.now_us)
        end = self.world.now_us + round(seconds * 1_000_000)
        if end > begin:
            self._standstills.append((begin, end, how))
            self._hold_clocks(end - begin, how)
            self.paused_until_us = end

    def go_on(self) -> None:
        """End its standstill now, if it stands still; its clocks stood still no longer than it did."""
        now_us = self.world.now_us
        for begin, end, how in self._standstills:
            self._hold_clocks(-max(0, end - max(begin, now_us)), how)
        self._standstills.clear()
        self.paused_until_us = min(self.paused_until_us, now_us)

    def _hold_clocks(self, still_us: int, how: How) -> None:
        if how != "pause":
            self.ahead_us -= still_us
        if how == "stop machine":
            self._stopped_us += still_us

    def kill(self) -> None:
        """Let nothing of it run any more; what it has sent arrives."""
        self.alive = False
        self.world.living.remove(self)
        self.loop.discard()
        for connection in self.in_order():
            connection.abort()
        self.loop.discard()

    def in_order(self) -> list[Connection]:
        """Its connections in the order in which they were opened."""
        return sorted(self.connections, key=lambda one: one.number)

    async def connect(self, factory: Any) -> Any:
        """Open a connection to the server."""
        opened = self.loop.create_future()
        at = max(self.world.now_us + self.link.latency_us(), self.link.up_blocked_until_us)
        self.world.at(at, lambda: None if opened.done() else opened.set_result(None))
        await opened
        if self.world.is_down:
            raise ConnectionRefusedError("connection refused")
        protocol = factory()
        connection = Connection(self.world, self, protocol)
        self.connections.add(connection)
        protocol.connection_made(connection)
        return connection, protocol

    def bury(self) -> None:
        """End what is left of its tasks, which must not run on when Python forgets them."""
        self.alive = False
        for task in self.loop.tasks:
            # What a task of the dead was doing leads back to it, so anyio would remember both for ever.
            _task_states.pop(task, None)
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                work = task.get_coro()
                with contextlib.suppress(BaseException):
                    work.close()  # type: ignore[union-attr]
        self.loop.discard()

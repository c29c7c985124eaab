"""Connections to the server: bytes take their time, in order, and may outlive who sent them."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, override

import hiredis

from tests.simulation.server.replies import Reply, encoded

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.server.server import Waiter
    from tests.simulation.world import World


class _Socket:
    """As much of a socket as is asked for."""

    family = None

    def setsockopt(self, *options: Any) -> None:
        pass

    def fileno(self) -> int:
        return -1  # nothing that a fork would share


class Connection(asyncio.Transport):
    """One connection, with both of its ends."""

    def __init__(self, world: "World", process: "Process", protocol: Any) -> None:
        super().__init__()
        self._world = world
        self._process = process
        self._protocol = protocol
        self._link = process.link
        self.number = world.number()
        self._arrives_at = self._returns_at = 0
        self._requests: Any = hiredis.Reader()
        self._waiter: Waiter | None = None
        self.open_here = True
        """Whether the process's end is open."""
        self._open_there = True

    # The process's end, as asyncio's transports ---------------------------------------------------

    @override
    def write(self, data: bytes) -> None:  # type: ignore[override]
        if self.open_here:
            self._to_server(partial(self._receive, data))

    @override
    def abort(self) -> None:
        if self.open_here:
            self.open_here = False
            self._process.connections.discard(self)
            self._process.loop.call_soon(self._protocol.connection_lost, None)
            self._to_server(self._end_there)

    close = abort

    @override
    def is_closing(self) -> bool:
        return not self.open_here

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket() if name == "socket" else default

    # On the way -----------------------------------------------------------------------------------

    def _to_server(self, arrive: Callable[[], None]) -> None:
        self._arrives_at = at = self._link.arrival(self._arrives_at, self._link.up_blocked_until_us)
        self._world.at(at, arrive)

    def _to_process(self, arrive: Callable[[], None]) -> None:
        self._returns_at = at = self._link.arrival(self._returns_at, self._link.down_blocked_until_us)
        self._world.at(at, arrive)

    # The server's end -----------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        if not self._open_there:
            return
        self._requests.feed(data)
        self._world.connected = self._process.name
        while (words := self._requests.gets()) is not False:
            self._waiter = self._world.server.call(words, self._answer)
        self._world.connected = None

    def _answer(self, reply: Reply) -> None:
        self._waiter = None
        if self._link.loses_answer():
            self.cut()
            return
        self._to_process(partial(self._returned, encoded(reply)))

    def _returned(self, data: bytes) -> None:
        if self.open_here:
            self._process.loop.call_soon(self._read, data)

    def _read(self, data: bytes) -> None:
        if self.open_here:
            self._protocol.data_received(data)

    def _end_there(self) -> None:
        self._open_there = False
        if self._waiter is not None:
            self._world.server.forget(self._waiter)

    # Faults ---------------------------------------------------------------------------------------

    def cut(self, *, late_us: int = 0) -> None:
        """Lose the connection, here at once; there as late, and until then what was sent is executed."""
        if self.open_here:
            self.open_here = False
            self._process.connections.discard(self)
            if self._process.alive:
                error = ConnectionResetError("the connection was cut")
                self._process.loop.call_soon(self._protocol.connection_lost, error)
        if late_us:
            self._arrives_at = max(self._arrives_at, self._world.now_us + late_us)
            self._world.at(self._arrives_at, self._end_there)
        else:
            self._end_there()


class Link:
    """The way of one process to the server and back."""

    def __init__(self, world: "World", chance: Any) -> None:
        self._world = world
        self._random = chance.random
        self.up_blocked_until_us = 0
        """Nothing arrives at the server before."""
        self.down_blocked_until_us = 0
        """No answer arrives before."""
        self._answers_to_lose = 0

    def latency_us(self) -> int:
        """How long the next bytes take."""
        return int(self._random() ** 3 * 5000) + 50

    def arrival(self, before_us: int, blocked_until_us: int) -> int:
        """When the next bytes arrive: not before those that were sent before."""
        at = self._world.now_us + int(self._random() ** 3 * 5000) + 50
        return max(at, blocked_until_us, before_us)

    def lose_answers(self, count: int) -> None:
        """Lose the next answers, each with its connection."""
        self._answers_to_lose += count

    def loses_answer(self) -> bool:
        """Whether an answer is lost now."""
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            return True
        return False

    def heal(self) -> None:
        """Let everything pass from now on."""
        self._answers_to_lose = 0
        now = self._world.now_us
        self.up_blocked_until_us = min(self.up_blocked_until_us, now)
        self.down_blocked_until_us = min(self.down_blocked_until_us, now)

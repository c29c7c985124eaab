"""The world of one schedule: its time, what happens next in it, and the clocks and chances that all see."""

import gc
import heapq
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from abe_redis.runtime import clock
from tests.simulation.process import Process
from tests.simulation.server.server import Server

EPOCH_US = 1_800_000_000_000_000
"""The server's clock at the world's beginning."""

_NEVER = float("inf")


class World:
    """Everything that is simulated."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self.now_us = 0
        self.clock_step_us = 0
        """By how much the server's clock was stepped."""
        self.server = Server(self.server_us)
        self.processes: list[Process] = []
        self.living: list[Process] = []
        """Those of them that are not dead."""
        self.current: Process | None = None
        self.connected: str | None = None
        """Whose command the server executes."""
        self.down_until_us = 0
        self.turns = 0
        self._chance = self.chance_of("turns")
        self._bytes = self.chance_of("urandom")
        self.hash = partial(self.chance_of("hashes").getrandbits, 60)
        """Makes a hash that belongs to the seed."""
        self._random = self.chance_of("random").getstate()
        self._numbers = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []

    # Clocks and chances -------------------------------------------------------------------------

    def server_us(self) -> int:
        """The server's clock."""
        return EPOCH_US + self.now_us + self.clock_step_us

    @property
    def now(self) -> float:
        """Seconds since the world's beginning."""
        return self.now_us / 1_000_000

    @property
    def is_down(self) -> bool:
        """Whether the server takes no connections."""
        return self.now_us < self.down_until_us

    def chance_of(self, what: str) -> random.Random:
        """Chances that depend on the seed and on what they are for, and on nothing else."""
        return random.Random(f"{self.seed}/{what}")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let Python's clocks and chances be this world's, to its end."""
        with self.visited():
            try:
                yield
            finally:
                self.end()

    def end(self) -> None:
        """End every process."""
        for process in self.processes:
            self.current = process
            process.bury()

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Let Python's clocks and chances be this world's for a while.

        Threads that others have left, such as those of a pool, keep the clock that they count by.
        """
        real = time.time, time.monotonic, clock.now, clock.doubted_at, os.urandom
        outside, here, asking = time.monotonic, threading.get_ident(), threading.get_ident
        state, collects = random.getstate(), gc.isenabled()

        def now() -> float:
            return self._who().boottime()

        def doubted_at() -> float:
            return self._who().lease_clock.doubted_at()

        def monotonic() -> float:
            if asking() != here:
                return outside()
            return (self.now_us + (self.current or self._who()).ahead_us) / 1_000_000

        time.time = lambda: (EPOCH_US + self.now_us) / 1_000_000
        time.monotonic, clock.now, clock.doubted_at = monotonic, now, doubted_at
        os.urandom = self._bytes.randbytes
        random.setstate(self._random)
        hooks = sys.get_asyncgen_hooks()
        # An asynchronous generator that Python forgets ends with its process, without another word.
        sys.set_asyncgen_hooks(firstiter=None, finalizer=lambda _: None)
        gc.disable()  # what Python forgets at some time or other may have something to say before
        try:
            yield
        finally:
            self._random = random.getstate()
            time.time, time.monotonic, clock.now, clock.doubted_at, os.urandom = real
            random.setstate(state)
            sys.set_asyncgen_hooks(*hooks)
            if collects:
                gc.enable()

    def _who(self) -> Process:
        if self.current is None:
            raise RuntimeError("nobody's clock was asked: something of the engine runs outside of a process")
        return self.current

    @contextmanager
    def as_process(self, process: Process) -> Iterator[None]:
        """Do something in a process, by its clocks."""
        self.current = process
        try:
            yield
        finally:
            self.current = None

    # What happens next --------------------------------------------------------------------------

    def process(self, name: str) -> Process:
        """Start a process."""
        process = Process(self, name)
        self.processes.append(process)
        self.living.append(process)
        return process

    def at(self, when_us: int, action: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self._numbers += 1
        heapq.heappush(self._events, (when_us, self._numbers, action))

    def number(self) -> int:
        """A number that nothing else has."""
        self._numbers += 1
        return self._numbers

    @property
    def last_arrival(self) -> float:
        """When the last of what is on its way arrives."""
        return max((event[0] for event in self._events), default=0) / 1_000_000

    def run(self, until: float, *, done: Callable[[], bool] | None = None) -> None:
        """Let the world go on until a time, or until it is done, which is asked ten times a second."""
        until_us, ask_at = round(until * 1_000_000), 0
        while True:
            if done is not None and self.now_us >= ask_at:
                ask_at = self.now_us + 100_000
                if done():
                    return
            now_us = self.now_us
            ready = [one for one in self.living if one.ready and now_us >= one.paused_until_us]
            if ready:
                self._turn(ready[0] if len(ready) == 1 else self._chance.choice(ready))
                continue
            next_us = self._next_us(now_us)
            if next_us > until_us:
                self.now_us = until_us
                return
            self.now_us = next_us
            self._happen()

    def _next_us(self, now_us: int) -> int:
        first = self._events[0][0] if self._events else 10**18
        for process in self.living:
            timers, at = process.timers, now_us
            if not process.ready:
                while timers and timers[0][2]._cancelled:
                    heapq.heappop(timers)
                if not timers:  # it waits for others
                    continue
                at = timers[0][0] - process.ahead_us
            if at < first:
                first = min(first, max(at, process.paused_until_us, now_us))
        next_ms = self.server.next_ms
        if next_ms != _NEVER:
            first = min(first, max(now_us, int(next_ms) * 1000 - EPOCH_US - self.clock_step_us))
        return first

    def _happen(self) -> None:
        self.current = None
        events, now_us = self._events, self.now_us
        while events and events[0][0] <= now_us:
            heapq.heappop(events)[2]()
        self.server.serve()
        for process in self.living:
            timers = process.timers
            if timers and timers[0][0] - process.ahead_us <= now_us >= process.paused_until_us:
                process.wake()

    def _turn(self, process: Process) -> None:
        self.turns += 1
        self.now_us += 10  # what it does takes time, too
        self.current = process
        process.run_once()
        self.current = None

    # Faults of the server -----------------------------------------------------------------------

    def step_clock(self, seconds: float) -> None:
        """Step the server's clock."""
        self.clock_step_us += round(seconds * 1_000_000)

    def refuse_writes(self, error: str, seconds: float) -> None:
        """Let the server refuse whatever changes something, for some time."""
        self.server.refuses = error
        self.at(self.now_us + round(seconds * 1_000_000), lambda: setattr(self.server, "refuses", None))

    def freeze_server(self, seconds: float) -> None:
        """Let nothing that anybody sends arrive for some time; it arrives afterwards."""
        until_us = self.now_us + round(seconds * 1_000_000)
        for process in self.processes:
            link = process.link
            link.up_blocked_until_us = max(link.up_blocked_until_us, until_us)

    def restart_server(self, seconds: float) -> None:
        """Cut every connection, and take none for some time; what is stored stays."""
        self.down_until_us = self.now_us + round(seconds * 1_000_000)
        for process in self.processes:
            for connection in process.in_order():
                connection.cut()

    def heal(self) -> None:
        """End every fault that lasts."""
        self.down_until_us = 0
        self.server.refuses = None
        for process in self.processes:
            process.link.heal()
            process.go_on()


def failures(world: World) -> list[dict[str, Any]]:
    """What nobody caught in any process."""
    return [failure for process in world.processes for failure in process.loop.failures]

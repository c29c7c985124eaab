"""The loop of the live view: it fetches, reads keys and draws, until q."""

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import anyio
from rich.console import Console
from rich.live import Live

from abe_redis.cli.top.keys import keys, single_keys
from abe_redis.cli.top.screen import draw
from abe_redis.cli.top.state import State
from abe_redis.errors import AbeRedisError
from abe_redis.schemas import StreamStats

type FetchStats = Callable[[], Awaitable[tuple[list[StreamStats], list[str]]]]


async def run(state: State, fetch: FetchStats, console: Console) -> None:
    """Show it until q or Ctrl-C.

    Args:
        state: The state to show.
        fetch: Returns the state of all streams, and the problems of the server.
        console: The terminal.
    """
    with single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        top = _Top(state, fetch, live)
        top.redraw()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(top.watch)
            tasks.start_soon(top.resize)
            await top.listen()
            tasks.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Top:
    state: State
    fetch: FetchStats
    live: Live

    def redraw(self) -> None:
        self.live.update(draw(self.state, *self.live.console.size), refresh=True)

    async def watch(self) -> None:
        while True:
            if not self.state.paused:
                await self._fetch()
                self.redraw()
            await anyio.sleep(self.state.every_seconds)

    async def _fetch(self) -> None:
        try:
            streams, problems = await self.fetch()
        except AbeRedisError as error:
            self.state.trouble = str(error)  # shown above the last known state
            return
        self.state.take(streams, problems, datetime.now().astimezone())

    async def listen(self) -> None:
        """Carry out the pressed keys, until q or the end of stdin."""
        async for key in keys():
            if key in {"q", "Q"}:
                return
            self.state.press(key)
            self.redraw()

    async def resize(self) -> None:
        with anyio.open_signal_receiver(signal.SIGWINCH) as sizes:
            async for _ in sizes:
                self.redraw()

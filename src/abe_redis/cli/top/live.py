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
from abe_redis.cli.top.view import View
from abe_redis.errors import AbeRedisError
from abe_redis.schemas import StreamStats

type FetchStats = Callable[[], Awaitable[list[StreamStats]]]


async def run(view: View, fetch: FetchStats, console: Console) -> None:
    """Show it until q or Ctrl-C.

    Args:
        view: The state to show.
        fetch: Returns the state of all streams.
        console: The terminal.
    """
    with single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        top = _Top(view, fetch, live)
        top.redraw()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(top.watch)
            tasks.start_soon(top.resize)
            await top.listen()
            tasks.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Top:
    view: View
    fetch: FetchStats
    live: Live

    def redraw(self) -> None:
        self.live.update(draw(self.view, *self.live.console.size), refresh=True)

    async def watch(self) -> None:
        while True:
            if not self.view.paused:
                await self._fetch()
                self.redraw()
            await anyio.sleep(self.view.every_seconds)

    async def _fetch(self) -> None:
        try:
            streams = await self.fetch()
        except AbeRedisError as error:
            self.view.trouble = str(error)  # shown above the last known state
            return
        self.view.take(streams, datetime.now().astimezone())

    async def listen(self) -> None:
        """Carry out the pressed keys, until q or the end of stdin."""
        async for key in keys():
            if key in {"q", "Q"}:
                return
            self.view.press(key)
            self.redraw()

    async def resize(self) -> None:
        with anyio.open_signal_receiver(signal.SIGWINCH) as sizes:
            async for _ in sizes:
                self.redraw()

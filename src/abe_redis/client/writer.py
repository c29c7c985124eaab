"""The writing side of a connection: one write for all commands that are sent at the same time."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto


class State(Enum):
    """The state of a `Writer`."""

    IDLE = auto()
    COLLECTING = auto()
    FULL = auto()


class Writer:
    """Writes at once when nothing else goes out; collects further commands for the next write.

    ::

                       send: write at once
              IDLE ─────────────────────────> COLLECTING
              ▲  ▲                             │      │
              │  └── the loop has gone round: ─┘      │ the socket is full
              │      write what waits                 │ (from IDLE, too)
              │                                       ▼
              └── the socket has room: ───────────── FULL
                  write what waits

    * IDLE: nothing waits. What is sent is written at once.
    * COLLECTING: what is sent waits until those have run who are about to send, too.
    * FULL: what is sent waits until the socket takes more, however often the loop goes round.
    """

    __slots__ = ("_loop", "_waiting", "_write", "state")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.state = State.IDLE
        self._waiting: list[bytes] = []
        self._write: Callable[[bytes], None]

    def open(self, write: Callable[[bytes], None]) -> None:
        """Begin: there is a socket."""
        self._write = write

    @property
    def waiting(self) -> int:
        """Number of commands that are not written yet."""
        return len(self._waiting)

    def send(self, data: bytes) -> None:
        """Write a command, now or in the next write."""
        if self.state is State.IDLE:
            self.collect()
            self._write(data)
        else:
            self._waiting.append(data)

    def collect(self) -> None:
        """Let callers that are about to run send first, so that everything goes in one write."""
        if self.state is State.IDLE:
            self.state = State.COLLECTING
            self._loop.call_soon(self._go_round)

    def pause(self) -> None:
        """The socket is full."""
        self.state = State.FULL

    def resume(self) -> None:
        """The socket has room."""
        self._flush()

    def clear(self) -> None:
        """Drop what waits: the connection is lost."""
        self._waiting.clear()

    def _go_round(self) -> None:
        if self.state is State.COLLECTING:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._waiting)  # first: if that fails, nothing may overtake what waits
        self._waiting.clear()
        self.state = State.IDLE
        if data:
            self._write(data)

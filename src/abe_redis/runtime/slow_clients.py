"""Limits how long HTTP connections wait for a request, and ends those that have waited longest for others.

Uvicorn waits without limit for the first byte and for the end of a head, and applications for bodies. So
anybody could occupy all connections before a token or a signature is checked.
"""

import asyncio
from typing import ClassVar, override

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Time for the head of a request."""

_MOST = 512


def most_connections() -> int:
    """The most connections of a server: at most half of the files that the process may open."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:  # pragma: no cover - Windows
        return _MOST
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if files == resource.RLIM_INFINITY else max(1, min(_MOST, files // 2))


class Impatient(H11Protocol):
    """A connection that ends unless the head of a request comes in time."""

    seconds = HEAD_SECONDS
    waiting: ClassVar[dict["Impatient", None]] = {}
    """Those that wait for a request or for the rest of its body, in the order in which they began to."""
    _overdue: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Begin to wait for a request, or stop because one has arrived.

        While the rest of its body is on its way, the application limits the time, and it may still make room.
        """
        if not getattr(self.cycle, "response_complete", True):
            self._stop_clock()
            if not self.cycle.more_body:
                self.waiting.pop(self, None)
        elif self._overdue is None and not self.transport.is_closing():
            self.waiting[self] = None
            self._overdue = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        self._stop_clock()

    def _stop_clock(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _give_up(self) -> None:
        """End at once, and stop counting."""
        self._stop_waiting()
        self.connections.discard(self)
        self.transport.abort()

    @classmethod
    def end_one(cls) -> bool:
        """End the one that has waited longest for a request, or for its body; whether there was one."""
        if not cls.waiting:
            return False
        next(iter(cls.waiting))._give_up()  # noqa: SLF001 - another one of us
        return True


def impatient(seconds: float) -> type[Impatient]:
    """HTTP as uvicorn speaks it, for one server.

    A connection ends unless the head of a request comes in time. The application itself waits for bodies.

    Args:
        seconds: Time for a head, from the connection or from the last answer.
    """
    return type("OfOneServer", (Impatient,), {"seconds": seconds, "waiting": {}})

"""Limits how long HTTP connections wait for their clients, and ends those that wait longest to make room.

Uvicorn waits without limit for the first byte, for the end of a head, and until a client takes an answer, and
applications for bodies. So anybody could occupy all connections before a token or a signature is checked.
"""

import asyncio
import logging
from typing import ClassVar, override

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from abe_redis.runtime.acceptance import Seldom

HEAD_SECONDS = 10.0
"""Time for the head of a request."""

TAKE_SECONDS = 30.0
"""Time in which a client takes a part of an answer; a network may stand still for a while."""

_MOST = 512
_NO_REQUEST = (
    "What is no HTTP/1.1 request was refused (400). If one of your clients sent it: a proxy before this port "
    "has to speak TLS and HTTP/2 with it, and plain HTTP/1.1 with this port."
)


def most_connections() -> int:
    """The most connections of a server: at most half of the files that the process may open."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:  # pragma: no cover - Windows
        return _MOST
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if files == resource.RLIM_INFINITY else max(1, min(_MOST, files // 2))


class Impatient(H11Protocol):
    """A connection that ends unless the head of a request comes, and its answer is taken, in time."""

    seconds = HEAD_SECONDS
    waiting: ClassVar[dict["Impatient", None]] = {}
    """Those that wait for their clients, in the order in which they began to: for a request, for the rest of
    its body, or until an answer is taken."""
    told: ClassVar[Seldom] = Seldom()
    """Says that something was no request."""
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
    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    @override
    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request; without a word if an answer to its head has begun."""
        self.told.say(logging.WARNING, _NO_REQUEST)
        if not getattr(self.cycle, "response_complete", True):  # what its application says is void
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _look(self) -> None:
        """Begin to wait for the client, or stop, because it is the application's turn.

        While the rest of a body is on its way, the application limits the time, and it may still make room.
        """
        if self._is_clients_turn():
            self.waiting.setdefault(self)
            if self._overdue is None:
                self._start_clock()
        else:
            self._stop_clock()
            if self.cycle.more_body:
                self.waiting.setdefault(self)
            else:
                self.waiting.pop(self, None)

    def _is_clients_turn(self) -> bool:
        """Whether nothing happens before the client sends a request, or takes a part of an answer."""
        is_answered = getattr(self.cycle, "response_complete", True)
        return is_answered or self.flow.write_paused or self.transport.is_closing()

    def _start_clock(self) -> None:
        left = self.transport.get_write_buffer_size()
        seconds = TAKE_SECONDS if left else self.seconds
        self._overdue = self.loop.call_later(seconds, self._time_is_over, left)

    def _time_is_over(self, left: int) -> None:
        """Give up, unless the client has taken a part of what was left of an answer."""
        self._overdue = None
        if self.transport.get_write_buffer_size() < left:
            self._start_clock()
        else:
            self._give_up()

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
        """End the one that has waited longest for its client; whether there was one."""
        if not cls.waiting:
            return False
        next(iter(cls.waiting))._give_up()  # noqa: SLF001 - another one of us
        return True


def impatient(seconds: float) -> type[Impatient]:
    """HTTP as uvicorn speaks it, for one server.

    A connection ends unless the head of a request comes, and its answer is taken, in time. The application
    itself waits for bodies.

    Args:
        seconds: Time for a head, from the connection or from the last answer.
    """
    return type("OfOneServer", (Impatient,), {"seconds": seconds, "waiting": {}, "told": Seldom()})

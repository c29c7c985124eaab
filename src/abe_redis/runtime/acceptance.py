"""Accepts a web server's connections: a few per turn of the event loop, and no more than there is room for.

asyncio alone accepts as many in one go as may wait, up to 2,048, before anything can end one of them. When
the process may open no more files, it logs a traceback for each, and tries again for each. So a burst of
connections would stop all else that the event loop does, such as to renew leases.
"""

import asyncio
import logging
import math
import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import anyio

_LOG = logging.getLogger(__name__)

WAITING = 1024
"""Connections that may wait in the kernel; a client beyond these tries again after a second."""
AT_ONCE = 16
"""Most connections accepted in one go."""
_BREATH_SECONDS = 0.005
"""Time that all else of the event loop has before the next go, when more connections may wait."""
_PAUSE_SECONDS = 0.5
"""Time until the next attempt when a connection could not be accepted."""
_SILENT_SECONDS = 60.0
"""Least time between two log lines about the same."""
_NOT_ACCEPTED = (
    "No connection can be accepted (%s); they wait. If that is the limit of open files, raise it: "
    "`ulimit -n`, or LimitNOFILE= of systemd."
)


class Room(Protocol):
    """Bounds the number of connections."""

    def for_one_more(self, accepted: int) -> bool:
        """Whether one more may begin beside those open and `accepted` others; it may end another one."""


async def accept(listening: socket.socket, protocol: Callable[[], asyncio.Protocol], room: Room) -> None:
    """Accept connections until cancelled.

    Args:
        listening: Where; it becomes non-blocking.
        protocol: Makes what serves a connection.
        room: Bounds them. One for which there is no room is closed at once, and costs no more than that.
    """
    listening.settimeout(0)
    told = Seldom()
    while True:
        await anyio.wait_readable(listening)
        pause, accepted = 0.0, list[socket.socket]()
        try:
            for number, connection in enumerate(_waiting(listening), start=1):
                if number == AT_ONCE:  # more may wait
                    pause = _BREATH_SECONDS
                if room.for_one_more(len(accepted)):
                    accepted.append(connection)
                else:
                    connection.close()
        except OSError as error:
            told.say(logging.ERROR, _NOT_ACCEPTED, error.strerror)
            pause = _PAUSE_SECONDS
        async with anyio.create_task_group() as tasks:
            for connection in accepted:
                tasks.start_soon(_begin, connection, protocol)
        await anyio.sleep(pause)


async def _begin(connection: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
    except OSError:  # it has ended
        connection.close()


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept some of those that wait.

    Raises:
        OSError: None can be accepted; such as when the process may open no more files.
    """
    for _ in range(AT_ONCE):
        try:
            connection, _address = listening.accept()
        except BlockingIOError:
            return
        except (ConnectionAbortedError, InterruptedError):
            continue  # it has ended
        connection.settimeout(0)
        yield connection


class Seldom:
    """Logs what may happen again and again, at most once in a while."""

    def __init__(self) -> None:
        self._at = -math.inf

    def say(self, level: int, sentence: str, *facts: object) -> None:
        """Log a sentence, unless there was one a short time ago."""
        if time.monotonic() - self._at >= _SILENT_SECONDS:
            self._at = time.monotonic()
            _LOG.log(level, sentence, *facts)

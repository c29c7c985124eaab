"""Serves over stdin and stdout, and drops characters that clients write around a message.

Both SDK lines parse each line as it is. Some clients write a byte order mark before the first line, and the
SDK then answers nothing, not even an error; 1.26 ends at a byte that is not UTF-8. What is no message is
answered here; see `frames`.
"""

import io
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import IO, Any, cast

import anyio
import anyio.from_thread
from mcp.server.stdio import stdio_server

from abe_redis.mcp.compat.frames import batch, complaint
from abe_redis.mcp.compat.unanswered import Unanswered

type Cancelled = Callable[[str | int], Coroutine[Any, Any, None]]

_AROUND = " \t\r\n\ufeff"
"""Characters around a message; the last one is the byte order mark."""


class _Out:
    """The binary stdout, to which two threads write whole lines."""

    def __init__(self, binary: IO[bytes], unanswered: Unanswered, unheard: Callable[[], None]) -> None:
        self._binary = binary
        self._unanswered = unanswered
        self._unheard = unheard
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Write a line; if nobody reads it, say so to the server, which may still wait for stdin."""
        with self._lock:
            try:
                self._binary.write(line.encode(errors="backslashreplace"))
                self._binary.flush()
            except OSError:
                anyio.from_thread.run_sync(self._unheard)
                return
        self._unanswered.sent(line)

    def flush(self) -> None:
        """Each line is flushed as it is written."""


class _Lines:
    """The messages on a binary stream, each a line without what is around it."""

    def __init__(
        self,
        binary: IO[bytes],
        out: _Out,
        unanswered: Unanswered,
        end: Callable[[], None],
        cancelled: Cancelled,
    ) -> None:
        self._text = io.TextIOWrapper(binary, encoding="utf-8", errors="replace")
        self._out = out
        self._unanswered = unanswered
        self._end = end
        self._cancelled = cancelled
        self._batch: list[str] = []
        """Messages of a batch that are not read yet; each is answered by itself."""

    def readline(self) -> str:
        """The next message; empty at the end, once all are answered. What is none is answered."""
        while self._batch or (line := self._text.readline()):
            message = self._batch.pop(0) if self._batch else line.strip(_AROUND)
            if not message:
                continue
            if (parts := batch(message)) is not None:
                self._batch += parts
            elif (said := complaint(message)) is None:
                if (number := self._unanswered.received(message)) is not None:
                    anyio.from_thread.run(self._cancelled, number)
                return message + "\n"
            else:
                self._out.write(said + "\n")
        if not self._unanswered.wait():  # 1.26 would go on with the rest, and fail at its answer
            anyio.from_thread.run_sync(self._end)
        return ""


async def serve(
    lowlevel: Any,  # noqa: ANN401 - of either SDK line
    cancelled: Cancelled,
    unheard: Callable[[], None],
) -> None:
    """Serve until stdin ends and what was asked is answered, within some seconds.

    Args:
        lowlevel: The SDK's server behind the one that has the tools.
        cancelled: Called with the id of a request for whose answer the client does not wait any more.
        unheard: Called when the client has closed its end of stdout.
    """
    # By itself the SDK would read the process's stdin; it reads a given stream unchanged.
    unanswered = Unanswered()
    out = _Out(sys.stdout.buffer, unanswered, unheard)
    with anyio.CancelScope() as scope:
        lines = cast("IO[str]", _Lines(sys.stdin.buffer, out, unanswered, scope.cancel, cancelled))
        stdout = anyio.wrap_file(cast("IO[str]", out))
        async with stdio_server(stdin=anyio.wrap_file(lines), stdout=stdout) as (read, write):
            await lowlevel.run(read, write, lowlevel.create_initialization_options())

"""Serving over stdin and stdout: what clients write before a message and is none of it is dropped.

Both SDK lines take a line for a message as it stands. Some clients write a byte order mark before the first
line, and the SDK then answers nothing, not even an error; 1.26 ends at a byte that is not UTF-8.
"""

import io
import sys
from typing import IO, Any, cast

import anyio
from mcp.server.stdio import stdio_server

_AROUND = " \t\r\n\ufeff"
"""Characters around a message; the last one is the byte order mark."""


class _Lines:
    """The lines of a binary stream, without what is around a message and without empty lines."""

    def __init__(self, binary: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(binary, encoding="utf-8", errors="replace")

    def readline(self) -> str:
        """The next line that has something in it; empty at the end."""
        while line := self._text.readline():
            if message := line.strip(_AROUND):
                return message + "\n"
        return ""


async def serve(lowlevel: Any) -> None:  # noqa: ANN401 - of either SDK line
    """Serve until stdin ends.

    Args:
        lowlevel: The SDK's server behind the one that has the tools.
    """
    # The SDK would read the process's stdin by itself; what is given to it is read as it is.
    lines = cast("IO[str]", _Lines(sys.stdin.buffer))
    async with stdio_server(stdin=anyio.wrap_file(lines)) as (read, write):
        await lowlevel.run(read, write, lowlevel.create_initialization_options())

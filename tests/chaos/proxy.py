"""A proxy in front of the server that can cut connections in the middle of an answer."""

import asyncio
import contextlib
import socket
import struct
from typing import override

from tests.listener import Listener


class Proxy(Listener):
    """Passes everything on."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.replaced = (b"", b"")
        """What is written in answers, and what stands there instead."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut_next = 0

    def lead_to(self, port: int) -> None:
        """Let connections that are made from now on lead to another server; the others stay."""
        self._target = port

    def reset(self) -> None:
        """Send RST on every connection."""
        for writer in list(self._writers):
            self._abort(writer)

    def cut_answers(self, count: int) -> None:
        """Pass on half of each of the next answers, and no more on that connection."""
        self._cut_next = count

    @override
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await self._connect()
        except OSError:
            self._abort(writer)
            return
        except BaseException:
            self._abort(writer)
            raise
        self._writers |= {writer, up_writer}
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, answers=False), self._pump(up_reader, writer, answers=True)
            )
        finally:
            self._writers -= {writer, up_writer}
            self._abort(writer)
            self._abort(up_writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if answers and self._cut_next:
                    self._cut_next -= 1
                    writer.write(data[: len(data) // 2])
                    await asyncio.sleep(0)
                    break
                writer.write(data.replace(*self.replaced) if answers and self.replaced[0] else data)
                await writer.drain()
        self._writers.discard(writer)
        self._abort(writer)

    @staticmethod
    def _abort(writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

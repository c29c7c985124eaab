"""A proxy in front of the server that can cut connections in the middle of an answer."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self


class Proxy:
    """Listens on a port of its own and passes everything on."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.accepted = 0
        """How many connections were made so far."""
        self.replaced = (b"", b"")
        """What is written in answers, and what stands there instead."""
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut_next = 0
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

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

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._abort(writer)
            return
        self._writers |= {writer, up_writer}
        for task in (
            asyncio.create_task(self._pump(reader, up_writer, answers=False)),
            asyncio.create_task(self._pump(up_reader, writer, answers=True)),
        ):
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

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

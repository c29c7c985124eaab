"""Servers that follow a script, for those who speak to them: broken, silent, garbled, slow."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
from redis import exceptions

from abe_redis.client.address import Address
from abe_redis.client.transport import Transport
from tests.patience import PATIENCE

type Behaviour = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.commands: list[list[bytes]] = []

    async def command(self) -> list[bytes]:
        """The next one, word by word."""
        words = []
        for _ in range(int((await self._reader.readline())[1:] or self._ended())):
            size = int((await self._reader.readline())[1:])
            words.append((await self._reader.readexactly(size + 2))[:-2])
        self.commands.append(words)
        return words

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def drip(self, data: bytes) -> None:
        """Send byte by byte, each in a packet of its own."""
        for byte in data:
            self.send(bytes([byte]))
            await asyncio.sleep(0)

    async def hang_up(self) -> None:
        """End properly, after all that was sent."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def cut(self) -> None:
        """Send RST."""
        raw = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):  # it is closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    @staticmethod
    def _ended() -> int:
        raise EOFError


class FakeServer:
    """Listens, and behaves towards each connection as its script says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.peers: list[Peer] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def commands(self) -> list[list[bytes]]:
        return [command for peer in self.peers for command in peer.commands]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            await self.behaviour(peer)
        except (EOFError, OSError, asyncio.CancelledError):
            pass  # it hung up; what is wrong about that, the test sees on its side
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["FakeServer"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**16)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            while self._tasks:
                await asyncio.sleep(0.001)
            for peer in self.peers:
                peer.writer.transport.abort()
            await asyncio.sleep(0)


def bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


async def echo(peer: Peer) -> None:
    """Answer every command with its last word."""
    while True:
        peer.send(bulk((await peer.command())[-1]))


async def silence(peer: Peer) -> None:
    """Take everything, and answer nothing."""
    while True:
        await peer.command()


def answering(answers: bytes) -> Behaviour:
    """Answer the first command with `answers`, and nothing after that."""

    async def behave(peer: Peer) -> None:
        await peer.command()
        peer.send(answers)
        await silence(peer)

    return behave


@asynccontextmanager
async def opened(
    behaviour: Behaviour, address: dict[str, Any] | None = None, **limits: Any
) -> AsyncIterator[tuple[Transport, FakeServer]]:
    """A transport and the server at its other end."""
    async with FakeServer(behaviour).listening() as server:
        transport = Transport(Address(host="127.0.0.1", port=server.port, **(address or {})), **limits)
        try:
            with anyio.fail_after(PATIENCE):
                yield transport, server
        finally:
            await transport.close()
            assert [task for task in asyncio.all_tasks() if "Wire" in repr(task.get_coro())] == []


async def outcome(call: Awaitable[Any]) -> Any:
    """What a call gives, an error included."""
    try:
        return await call
    except (exceptions.RedisError, TypeError, ValueError) as error:
        return error


async def outcomes(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*map(outcome, calls))


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def turns(count: int = 20) -> None:
    """Let everybody have their turn, a few times."""
    for _ in range(count):
        await asyncio.sleep(0)

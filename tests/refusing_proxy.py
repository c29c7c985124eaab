"""A proxy in front of a server that refuses or swallows commands, as proxies and managed services do."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import override

import hiredis

from tests.listener import Listener

type Refusal = Callable[[Sequence[bytes]], bytes | None]
"""Says for a command the answer in place of the server's, `HANG_UP`, or None to pass it on."""

HANG_UP = b""

OPTIONAL = (
    "CLIENT",
    "SCAN",
    "DBSIZE",
    "MEMORY",
    "CONFIG",
    "INFO",
    "TIME",
    "ACL",
    "HELLO",
    "SELECT",
    "WAIT",
    "KEYS",
)
"""Commands without which events are accepted, handled and looked at all the same."""


def refusing(*names: str, error: str = "ERR unknown command '{}'") -> Refusal:
    """Refuses commands by their first word, or their first two."""
    wanted = {name.upper() for name in names}

    def refuse(words: Sequence[bytes]) -> bytes | None:
        first, both = words[0].decode().upper(), b" ".join(words[:2]).decode(errors="replace").upper()
        return f"-{error.format(first)}\r\n".encode() if first in wanted or both in wanted else None

    return refuse


class RefusingProxy(Listener):
    """Knows where a command ends, so that each has an answer in its turn."""

    def __init__(self, port: int, refusal: Refusal = lambda _: None) -> None:
        super().__init__(port)
        self.refusal = refusal
        self.loses: Callable[[Sequence[bytes], bytes], bool] = lambda *_: False
        """Says for a command and its answer whether that is lost, and the connection with it."""
        self.holds_back: Callable[[Sequence[bytes], bytes], bool] = lambda *_: False
        """Says for a command and its answer whether that answer waits for `let_go`."""
        self.holds_up: Callable[[Sequence[bytes]], bool] = lambda _: False
        """Says for a command whether it waits for `let_go`, and with it what comes behind it."""
        self.held_up = 0
        """How many did."""
        self.hangs_up = False
        """Whether whoever sent a command that is held up is hung up on: the command arrives all the same."""
        self.let_go = asyncio.Event()
        self.seen: list[str] = []
        """The names of the commands, in order."""
        self._forgotten: set[asyncio.Task[None]] = set()

    def forget(self) -> None:
        """Forget the connections that are open, as a NAT does: what comes over them vanishes in silence."""
        self._forgotten |= self._tasks

    @override
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        try:
            up_reader, up_writer = await self._connect()
        except BaseException:
            writer.close()
            raise
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while words := await _command(reader):
                    if me in self._forgotten:
                        continue
                    self.seen.append(words[0].decode().upper())
                    if self.holds_up(words):
                        self.held_up += 1
                        if self.hangs_up:
                            writer.close()
                        await self.let_go.wait()
                    answer = self.refusal(words)
                    if answer == HANG_UP:
                        return
                    if answer is None:
                        up_writer.write(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type, unused-ignore]
                        answer = await _answer(up_reader)
                        if self.loses(words, answer):
                            return
                        if self.holds_back(words, answer):
                            self.held_up += 1
                            await self.let_go.wait()
                    if me in self._forgotten:
                        continue
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()
            up_writer.close()
            for one in (writer, up_writer):
                with contextlib.suppress(OSError):
                    await one.wait_closed()


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    """The next command, word by word; empty when the client hung up."""
    line = await reader.readline()
    words = []
    for _ in range(int(line[1:]) if line else 0):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The server's answer to one command, byte for byte."""
    parser, data = hiredis.Reader(notEnoughData=...), b""
    while parser.gets() is ...:
        part = await reader.read(65_536)
        if not part:
            raise asyncio.IncompleteReadError(data, None)
        data += part
        parser.feed(part)
    return data

"""The writer: one write for all that is sent at a time, and none while the socket is full."""

import asyncio
from typing import Any, cast

import pytest

from abe_redis.client.writer import State, Writer


class Socket:
    """Keeps what is written; full after so many writes, until it is emptied."""

    def __init__(self, *, full_after: int = 1000) -> None:
        self.written: list[bytes] = []
        self.writer = Writer(asyncio.get_running_loop())
        self.writer.open(self._write)
        self._full_after = full_after

    def _write(self, data: bytes) -> None:
        self.written.append(data)
        if len(self.written) == self._full_after:
            self.writer.pause()


async def go_round() -> None:
    await asyncio.sleep(0)


async def test_the_first_is_written_at_once_and_the_others_when_the_loop_has_gone_round() -> None:
    socket = Socket()
    for data in (b"a", b"b", b"c"):
        socket.writer.send(data)
    assert (socket.written, socket.writer.waiting, socket.writer.state) == ([b"a"], 2, State.COLLECTING)
    await go_round()
    assert (socket.written, socket.writer.waiting, socket.writer.state) == ([b"a", b"bc"], 0, State.IDLE)


async def test_collected_commands_go_in_one_write() -> None:
    socket = Socket()
    socket.writer.collect()
    for data in (b"a", b"b"):
        socket.writer.send(data)
    assert socket.written == []
    await go_round()
    assert socket.written == [b"ab"]
    socket.writer.collect()
    await go_round()
    assert (socket.written, socket.writer.state) == ([b"ab"], State.IDLE)


@pytest.mark.parametrize("full_after", [1, 2])
async def test_while_the_socket_is_full_nothing_is_written(full_after: int) -> None:
    socket = Socket(full_after=full_after)
    for data in (b"a", b"b"):
        socket.writer.send(data)
    for _ in range(3):
        await go_round()
        socket.writer.send(b"c")
        socket.writer.collect()
        assert socket.writer.state is State.FULL
    assert socket.written == [b"a", b"b"][:full_after]
    socket.writer.resume()
    assert b"".join(socket.written) == b"abccc"
    assert len(socket.written) == full_after + 1
    assert (socket.writer.waiting, socket.writer.state) == (0, State.IDLE)


async def test_a_cleared_command_is_not_written() -> None:
    socket = Socket()
    for data in (b"a", b"b"):
        socket.writer.send(data)
    socket.writer.clear()
    assert socket.writer.waiting == 0
    await go_round()
    assert socket.written == [b"a"]


async def test_nothing_overtakes_what_could_not_be_written_together() -> None:
    """Else answers would go to other callers than those who asked."""
    socket = Socket()
    socket.writer.send(b"a")
    socket.writer.send(cast("Any", "no memory for it, for instance"))
    with pytest.raises(TypeError):
        socket.writer.resume()
    socket.writer.send(b"c")
    assert (socket.written, socket.writer.waiting) == ([b"a"], 2)
    socket.writer.clear()

"""How many writes the transport makes: one for the many calls of a turn."""

import asyncio
from typing import Any

from abe_redis.client.transport import Transport
from tests.unit.client.transports import _nobody_complains, current
from tests.unit.fake_server import (
    Peer,
    bulk,
    echo,
    opened,
    outcomes,
    turns,
)

__all__ = ["_nobody_complains"]


def count_writes(transport: Transport) -> list[bytes]:
    """What an open transport hands to the socket from now on."""
    writer = current(transport)._writer
    written: list[bytes] = []
    write = writer._write

    def counted(data: bytes) -> None:
        written.append(data)
        write(data)

    writer._write = counted
    return written


async def test_a_lone_call_goes_out_at_once() -> None:
    async with opened(echo) as (transport, _):
        await transport.call("PING")
        await turns()
        written = count_writes(transport)
        call = asyncio.ensure_future(transport.call("ECHO", "1"))
        await asyncio.sleep(0)  # the task's first step, and nothing else
        assert len(written) == 1
        assert await call == b"1"


async def test_calls_of_one_turn_share_a_write() -> None:
    async with opened(echo) as (transport, _):
        await transport.call("PING")
        await turns()
        written = count_writes(transport)
        words = [str(n).encode() for n in range(100)]
        assert await outcomes(*(transport.call("ECHO", word) for word in words)) == words
        assert len(written) == 2, "the first at once, the others after it"


async def test_callers_that_are_answered_together_call_together() -> None:
    async def behave(peer: Peer) -> None:
        assert await peer.command() == [b"PING"]
        peer.send(b"+PONG\r\n")
        while True:
            words = [(await peer.command())[-1] for _ in range(50)]
            peer.send(b"".join(map(bulk, words)))

    async with opened(behave) as (transport, _):
        await transport.call("PING")
        await turns()
        written = count_writes(transport)

        async def caller(name: int) -> None:
            for n in range(5):
                assert await transport.call("ECHO", f"{name}-{n}") == f"{name}-{n}".encode()

        await asyncio.gather(*map(caller, range(50)))
        assert len(written) == 2 + 4, "after the first answers, one write per answers"


async def test_commands_that_the_socket_does_not_take_become_one_write() -> None:
    reading = asyncio.Event()

    async def behave(peer: Peer) -> None:
        assert (await peer.command()) == [b"PING"]
        peer.send(b"+PONG\r\n")
        await reading.wait()
        while True:
            peer.send(bulk(b"%d" % len((await peer.command())[-1])))

    async with opened(behave, max_bytes=2**30) as (transport, _):
        await transport.call("PING")
        written = count_writes(transport)
        opened_socket = current(transport)._socket
        assert opened_socket is not None
        sizes: list[int] = []
        calls: list[asyncio.Future[Any]] = []

        async def call() -> None:
            sizes.append(40_000 + len(sizes))
            calls.append(asyncio.ensure_future(transport.call("SET", b"x" * sizes[-1])))
            await turns(3)

        while not opened_socket.get_write_buffer_size():
            await call()
        before = len(written)
        for _ in range(20):
            await call()
        assert len(written) == before
        reading.set()
        assert await asyncio.gather(*calls) == [b"%d" % size for size in sizes]
        assert len(written) == before + 1

"""How many calls and bytes of the transport are unanswered at a time, and who waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from abe_redis.client import wire
from abe_redis.client.transport import Transport
from tests.unit.client.transports import _nobody_complains
from tests.unit.fake_server import (
    FakeServer,
    Peer,
    bulk,
    opened,
    turns,
    until,
)

__all__ = ["_nobody_complains"]


class Valve:
    """A server that answers as many commands as it is told."""

    def __init__(self) -> None:
        self._tokens = asyncio.Semaphore(0)

    def open(self, count: int) -> None:
        for _ in range(count):
            self._tokens.release()

    async def __call__(self, peer: Peer) -> None:
        words: asyncio.Queue[bytes] = asyncio.Queue()

        async def answer() -> None:
            while True:
                await self._tokens.acquire()
                peer.send(bulk(await words.get()))

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            while True:
                words.put_nowait((await peer.command())[-1])


@asynccontextmanager
async def valve(**limits: Any) -> AsyncIterator[tuple[Transport, FakeServer, Valve]]:
    gate = Valve()

    async def behave(peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            await gate(peer)

    async with opened(behave, **limits) as (transport, server):
        yield transport, server, gate


async def test_no_more_calls_than_allowed_are_unanswered() -> None:
    async with valve(max_calls=4) as (transport, server, gate):
        calls = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(20)]
        for answered in range(16):
            await until(lambda: len(server.commands) == 4 + answered)  # noqa: B023 - it is called at once
            await turns()
            assert len(server.commands) == 4 + answered
            assert sum(call.done() for call in calls) == answered
            gate.open(1)
            await calls[answered]
        gate.open(4)
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(20)]
        assert [int(command[-1]) for command in server.commands] == list(range(20))


async def test_no_more_bytes_than_allowed_are_unanswered() -> None:
    async with valve(max_bytes=3000) as (transport, server, gate):
        calls = [asyncio.ensure_future(transport.call("SET", n, b"x" * 1000)) for n in range(9)]
        await until(lambda: len(server.commands) == 3)
        await turns()
        assert len(server.commands) == 3
        gate.open(9)
        await asyncio.gather(*calls)
        # One that is too large by itself goes all the same.
        gate.open(1)
        assert await transport.call("SET", b"x" * 10_000) == b"x" * 10_000


async def test_a_waiting_call_that_cannot_be_sent_fails_and_the_next_ones_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack = wire._pack

    def packed(words: Any) -> bytes:
        if words[-1] == 1:
            raise MemoryError
        return pack(words)

    monkeypatch.setattr(wire, "_pack", packed)
    async with valve(max_calls=1) as (transport, server, gate):
        calls = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(3)]
        await until(lambda: len(server.commands) == 1)
        gate.open(3)
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, third) == (b"0", b"2")
    assert isinstance(second, MemoryError)


async def test_newcomers_do_not_overtake_those_who_wait() -> None:
    async with valve(max_calls=1) as (transport, server, gate):
        first = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(3)]
        await until(lambda: len(server.commands) == 1)
        late: list[asyncio.Future[Any]] = []
        first[0].add_done_callback(lambda _: late.append(asyncio.ensure_future(transport.call("ECHO", 3))))
        gate.open(4)
        await asyncio.gather(*first)
        await late[0]
        assert [int(command[-1]) for command in server.commands] == [0, 1, 2, 3]


async def test_the_place_of_one_that_is_cancelled_is_not_lost() -> None:
    async with valve(max_calls=2) as (transport, server, gate):
        calls = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(10)]
        await until(lambda: len(server.commands) == 2)
        for n in (0, 2, 3, 5, 9):  # the first is sent already
            calls[n].cancel()
        gate.open(10)
        await asyncio.wait(calls)
        got = [None if call.cancelled() else int(call.result()) for call in calls]
        assert got == [None, 1, None, None, 4, None, 6, 7, 8, None]
        assert [int(command[-1]) for command in server.commands] == [0, 1, 4, 6, 7, 8]
        more = [transport.call("ECHO", n) for n in range(4)]
        assert await asyncio.gather(*more) == [b"0", b"1", b"2", b"3"]

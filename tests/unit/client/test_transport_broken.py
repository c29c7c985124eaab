"""The transport when a server cuts, garbles, or says more than it was asked for."""

import asyncio
from typing import Any

import pytest
from redis import exceptions

from abe_redis.client import failures
from tests.unit.client.transports import _nobody_complains, current
from tests.unit.fake_server import (
    Peer,
    answering,
    bulk,
    echo,
    opened,
    outcome,
    outcomes,
    silence,
    turns,
    until,
)

__all__ = ["_nobody_complains"]

STREAM = b"+OK\r\n" + bulk(b"two") + b"-ERR three\r\n" + b"*2\r\n:4\r\n$4\r\nfour\r\n"
WHOLE: list[Any] = [b"OK", b"two", "three", [4, b"four"]]
ENDS = [5, 14, 26, 44]


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_cut_at_every_byte(how: str) -> None:
    assert len(STREAM) == ENDS[-1]
    for position in range(len(STREAM) + 1):

        async def behave(peer: Peer, position: int = position) -> None:
            if len(server.peers) > 1:
                await echo(peer)
            for _ in WHOLE:
                await peer.command()
            peer.send(STREAM[:position])
            if how == "FIN":
                await peer.hang_up()
            else:
                peer.cut()

        async with opened(behave) as (transport, server):
            got = await outcomes(*(transport.call("ECHO", n) for n in range(4)))
            for answer, whole, end in zip(got, WHOLE, ENDS, strict=True):
                lost = type(answer) is exceptions.ConnectionError
                if how == "FIN":  # after RST, what had arrived may be lost
                    assert lost == (position < end)
                if not lost:
                    assert position >= end
                    assert (str(answer) if isinstance(answer, exceptions.ResponseError) else answer) == whole
            assert await transport.call("ECHO", "again") == b"again"
            assert [command[-1] for command in server.commands] == [b"0", b"1", b"2", b"3", b"again"]


GARBAGE = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",  # a TLS alert
    b"\r\n",
    b"$abc\r\n",
    b"$-2\r\n",
    b"$99999999999999999999\r\n",
    b"*9999999999999\r\n",
    b":twelve\r\n",
    b"*1\r\n!",
    b"-MOVED nowhere\r\n",  # redis-py fails to read it
    bytes(range(256)),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda value: repr(value)[:30])
async def test_garbage_ends_the_connection_and_fails_everybody(garbage: bytes) -> None:
    async def behave(peer: Peer) -> None:
        if len(server.peers) > 1:
            await echo(peer)
        await answering(b"+OK\r\n" + garbage)(peer)

    async with opened(behave) as (transport, server):
        first, *others = await outcomes(*(transport.call("ECHO", n) for n in range(5)))
        assert first == b"OK"
        assert {type(error) for error in others} == {exceptions.ConnectionError}
        assert len({id(error) for error in others}) == 4, "each has an error of its own"
        assert await transport.call("ECHO", "again") == b"again"


@pytest.mark.parametrize(
    "surplus", [b"+more\r\n", b"+", b"*2\r\n", b"*2\r\n:1\r\n", b"-ERR bye\r\n", b"$3\r\nmo"]
)
async def test_an_answer_too_many_reaches_nobody(surplus: bytes) -> None:
    async def behave(peer: Peer) -> None:
        if len(server.peers) > 1:
            await echo(peer)
        await answering(b"+OK\r\n" + surplus)(peer)

    async with opened(behave) as (transport, server):
        assert await transport.call("ECHO", "1") == b"OK"
        await until(lambda: current(transport).lost)
        assert await transport.call("ECHO", "2") == b"2"


async def test_an_answer_that_comes_before_its_command_was_sent_is_none() -> None:
    answer = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.command()
        peer.send(b"+OK\r\n")
        await answer.wait()
        peer.send(b"+wrong\r\n")
        await silence(peer)

    async with opened(behave) as (transport, _):
        await transport.call("PING")
        current(transport).pause_writing()
        call = asyncio.ensure_future(transport.call("ECHO", "1"))
        await turns()
        answer.set()
        with pytest.raises(exceptions.ConnectionError, match="nobody asked for it"):
            await call


async def test_an_answer_of_a_full_server_is_passed_on() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(b"-ERR max number of clients reached\r\n")
        await peer.hang_up()

    for address in ({}, {"client_name": "abe-redis"}):
        async with opened(behave, address) as (transport, _):
            error = await outcome(transport.call("PING"))
            assert isinstance(error, exceptions.ConnectionError)
            # Without a greeting, the call and the goodbye may cross.
            assert "max number of clients" in str(error) or not address
            assert failures.passes(error)


async def test_a_connection_that_the_server_closed_is_not_used_any_more() -> None:
    async with opened(echo) as (transport, server):
        await transport.call("PING")
        current(transport).eof_received()  # the loop says so a turn before it says that all is over
        assert await outcomes(*(transport.call("ECHO", n) for n in range(9))) == [b"%d" % n for n in range(9)]
        assert len(server.peers) == 2


async def test_an_error_for_a_caller_that_is_cancelled_just_then() -> None:
    async with opened(silence) as (transport, server):
        call = asyncio.ensure_future(transport.call("PING"))
        await until(lambda: server.commands)
        current(transport).connection_lost(None)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

"""The transport while it opens: calls wait behind the greeting, and fail with it."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions

from abe_redis.client import failures
from abe_redis.client.address import Address
from abe_redis.client.transport import Transport
from tests.patience import PATIENCE
from tests.unit.client.transports import _nobody_complains, granting
from tests.unit.fake_server import (
    Peer,
    echo,
    opened,
    outcomes,
    silence,
    turns,
    until,
)

__all__ = ["_nobody_complains"]


@pytest.mark.parametrize(
    ("address", "greeting"),
    [
        ({}, []),
        ({"password": "p"}, [["AUTH", "p"]]),
        ({"username": "u", "password": "p"}, [["AUTH", "u", "p"]]),
        ({"username": "u"}, [["AUTH", "u", ""]]),
        (
            {"username": "u", "password": "p", "db": 3, "client_name": "n"},
            [["AUTH", "u", "p"], ["SELECT", "3"], ["CLIENT", "SETNAME", "n"]],
        ),
    ],
)
async def test_calls_wait_in_order_behind_the_greeting(address: dict[str, Any], greeting: Any) -> None:
    async with opened(granting, address) as (transport, server):
        await outcomes(*(transport.call("ECHO", n) for n in range(10)))
        assert [[word.decode() for word in command] for command in server.commands] == [
            *greeting,
            *(["ECHO", str(n)] for n in range(10)),
        ]


@pytest.mark.parametrize(
    ("refused", "error", "expected"),
    [
        (b"AUTH", b"-WRONGPASS invalid\r\n", exceptions.AuthenticationError),
        (b"AUTH", b"-ERR AUTH <password> called without\r\n", exceptions.ResponseError),
        (b"SELECT", b"-NOPERM no\r\n", exceptions.NoPermissionError),
        (b"SELECT", b"-ERR DB index is out of range\r\n", exceptions.ResponseError),
        (b"SELECT", b"-LOADING soon\r\n", exceptions.BusyLoadingError),
        (b"SELECT", b"garbage", exceptions.ConnectionError),
        (b"SELECT", b"", exceptions.ConnectionError),
        (b"AUTH", b"+OK\r\n+OK\r\n", exceptions.ConnectionError),
    ],
)
async def test_a_greeting_that_fails_fails_everybody_and_nothing_is_sent(
    refused: bytes, error: bytes, expected: type[Exception]
) -> None:
    async def behave(peer: Peer) -> None:
        while (await peer.command())[0] != refused:
            peer.send(b"+OK\r\n")
        peer.send(error)
        if not error:
            await peer.hang_up()
        await silence(peer)

    address = {"username": "u", "password": "the-password", "client_name": "n", "db": 1}
    async with opened(behave, address) as (transport, server):
        for attempt in (1, 2):
            got = await outcomes(*(transport.call("ECHO", n) for n in range(20)))
            assert {type(one) for one in got} == {expected}
            assert len({id(one) for one in got}) == 20
            assert len(server.peers) == attempt
        assert b"ECHO" not in {command[0] for command in server.commands}
        assert "the-password" not in repr(transport) + repr(got)


async def test_a_greeting_that_is_not_answered() -> None:
    async with opened(silence, {"password": "p"}, connect_seconds=0.1) as (transport, _):
        got = await outcomes(*(transport.call("ECHO", n) for n in range(5)))
        assert {type(error) for error in got} == {exceptions.TimeoutError}


async def test_every_call_fails_when_no_server_listens(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for address in (
            Address(host="127.0.0.1", port=unused.getsockname()[1]),
            Address(path=str(tmp_path / "no.sock")),
            Address(host="x" * 100),  # not a name
        ):
            transport = Transport(address)
            for error in await outcomes(transport.call("PING"), transport.call("PING")):
                assert type(error) is exceptions.ConnectionError
                assert str(error).startswith("no connection: ")
                assert failures.passes(error)
            await transport.close()


def test_every_call_fails_when_no_server_listens_and_tasks_are_eager(tmp_path: Path) -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        transport = Transport(Address(path=str(tmp_path / "no.sock")))
        with pytest.raises(exceptions.ConnectionError):
            await transport.call("PING")
        await transport.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


async def test_a_caller_that_is_cancelled_does_not_end_the_opening() -> None:
    go = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.command()
        await go.wait()
        peer.send(b"+OK\r\n")
        await echo(peer)

    async with opened(behave, {"password": "p"}) as (transport, server):
        calls = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(4)]
        await until(lambda: server.commands)
        calls[0].cancel()
        calls[2].cancel()
        await turns()
        go.set()
        assert await calls[1] == b"1"
        assert await calls[3] == b"3"
        # Nobody wants them any more, and they had not been sent.
        assert [command[-1] for command in server.commands] == [b"p", b"1", b"3"]

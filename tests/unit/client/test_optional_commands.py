"""Which answers mean that a server lacks a command, and which that it is merely not there."""

import asyncio

import pytest
from redis import exceptions

from tests.unit.client.transports import granting
from tests.unit.fake_server import Peer, opened, outcome, silence, until

NAMED = [b"CLIENT", b"SETNAME", b"n"]


async def hang_up(peer: Peer) -> None:
    """As twemproxy answers a command that it does not know."""
    await peer.command()


async def test_a_server_that_accepted_a_command_once_is_sent_it_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened(granting, {"client_name": "n"}) as (transport, server):
        await transport.call("ECHO", "x")
        transport.drop("for the test")
        server.behaviour = hang_up
        assert isinstance(await outcome(transport.call("ECHO", "x")), exceptions.ConnectionError)
        server.behaviour = granting
        await transport.call("ECHO", "x")
        assert server.commands.count(NAMED) == 3
    assert not caplog.records


async def test_a_silent_server_is_sent_the_command_again(caplog: pytest.LogCaptureFixture) -> None:
    async with opened(silence, {"client_name": "n"}) as (transport, server):
        call = asyncio.ensure_future(outcome(transport.call("ECHO", "x")))
        await until(lambda: server.commands == [NAMED])
        transport.drop("for the test")
        assert isinstance(await call, exceptions.ConnectionError)
        server.behaviour = granting
        await transport.call("ECHO", "x")
        assert server.commands.count(NAMED) == 2
    assert not caplog.records


async def test_a_server_that_hangs_up_on_a_command_is_not_sent_it_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened(hang_up, {"client_name": "n"}) as (transport, server):
        assert isinstance(await outcome(transport.call("ECHO", "x")), exceptions.ConnectionError)
        server.behaviour = granting
        await transport.call("ECHO", "x")
        assert server.commands.count(NAMED) == 1
    (said,) = caplog.records
    assert "refuses CLIENT SETNAME (it hung up)" in said.getMessage()

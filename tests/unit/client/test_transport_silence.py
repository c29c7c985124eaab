"""The transport and a server that does not answer, or stops reading: who waits how long."""

import asyncio
from typing import Any

import pytest
from redis import exceptions

from abe_redis.client.address import Address
from abe_redis.client.topology import node
from abe_redis.client.topology.node import Node
from tests.patience import PATIENCE
from tests.unit.client.transports import _nobody_complains, current
from tests.unit.fake_server import (
    FakeServer,
    Peer,
    answering,
    bulk,
    echo,
    opened,
    outcome,
    outcomes,
    silence,
)

__all__ = ["_nobody_complains"]


async def test_a_server_that_never_answers() -> None:
    async def behave(peer: Peer) -> None:
        await (silence(peer) if len(server.peers) == 1 else echo(peer))

    async with opened(behave, answer_seconds=0.1, max_calls=10) as (transport, server):
        got = await outcomes(*(transport.call("ECHO", n) for n in range(30)))
        assert {type(error) for error in got} == {exceptions.TimeoutError}
        assert len(server.commands) == 10
        assert await transport.call("ECHO", "again") == b"again"


async def test_a_server_that_answers_some_and_then_no_more() -> None:
    async with opened(answering(b"+OK\r\n"), answer_seconds=0.1) as (transport, _):
        first, *others = await outcomes(*(transport.call("ECHO", n) for n in range(5)))
        assert first == b"OK"
        assert {type(error) for error in others} == {exceptions.TimeoutError}


async def test_half_an_answer_is_none() -> None:
    async with opened(answering(b"$5\r\nhel"), answer_seconds=0.1) as (transport, _):
        assert type(await outcome(transport.call("PING"))) is exceptions.TimeoutError


async def test_a_server_that_stops_reading() -> None:
    async def behave(peer: Peer) -> None:
        await asyncio.sleep(PATIENCE)

    async with opened(behave, answer_seconds=0.2) as (transport, _):
        got = await outcomes(*(transport.call("SET", b"x" * 2**22) for _ in range(10)))
        assert {type(error) for error in got} == {exceptions.TimeoutError}


async def test_an_idle_connection_is_not_overdue() -> None:
    async with opened(echo, answer_seconds=0.05) as (transport, server):
        for n in range(4):
            assert await transport.call("ECHO", n) == b"%d" % n
            await asyncio.sleep(0.12)
        assert len(server.peers) == 1
        assert current(transport)._watch is None, "an idle connection needs no timer"


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_connection_on_which_answers_come_is_not_silent_however_long_the_last_one_takes(
    monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    """On a busy machine, a second connection is answered at once while a long queue is worked off."""
    monkeypatch.setattr(node, "ANSWER_SECONDS", PATIENCE)
    calls, answers = 8, 8 if goes_on else 2

    async def behave(peer: Peer) -> None:
        if len(server.peers) > 1:
            await echo(peer)
        for _ in range(answers):
            word = (await peer.command())[-1]
            await asyncio.sleep(0.3)
            peer.send(bulk(word))
        await silence(peer)

    async with FakeServer(behave).listening() as server:
        one = Node(Address(host="127.0.0.1", port=server.port))
        promises = [asyncio.get_running_loop().create_future() for _ in range(calls)]
        for number, promise in enumerate(promises):
            one.send(("ECHO", number), promise)
        got: list[Any] = await asyncio.gather(*promises, return_exceptions=True)
        await one.close()
    lost = [type(answer) for answer in got[answers:]]
    assert got[:answers] == [b"%d" % number for number in range(answers)]
    assert lost == [exceptions.ConnectionError] * (calls - answers)


async def test_timers_are_per_connection_and_not_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    async with opened(echo) as (transport, _):
        await transport.call("PING")
        armed: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_later", lambda *arguments: armed.append(arguments))
            patch.setattr(loop, "call_at", lambda *arguments: armed.append(arguments))
            await outcomes(*(transport.call("ECHO", n) for n in range(100)))
        assert armed == []

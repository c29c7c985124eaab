"""The end of a transport: closed before, while and after it opens and sends."""

import asyncio

import pytest
from redis import exceptions

from abe_redis.client.address import Address
from abe_redis.client.transport import Transport
from abe_redis.client.writer import State
from tests.patience import PATIENCE
from tests.unit.client.transports import _nobody_complains, current
from tests.unit.fake_server import (
    FakeServer,
    Peer,
    echo,
    opened,
    outcome,
    silence,
    turns,
    until,
)

__all__ = ["_nobody_complains"]


async def test_close_before_anything_and_twice() -> None:
    transport = Transport(Address(port=1))
    await transport.close()
    await transport.close()
    with pytest.raises(exceptions.ConnectionError):
        await transport.call("PING")


@pytest.mark.parametrize("turns_before", [0, 1, 2, 3, 5, 8, 13])
async def test_close_while_it_opens(turns_before: int) -> None:
    async with opened(silence, {"password": "p"}) as (transport, _):
        call = asyncio.ensure_future(outcome(transport.call("PING")))
        await asyncio.sleep(0)
        await turns(turns_before)
        await transport.close()
        assert isinstance(await call, exceptions.ConnectionError)


async def test_close_while_calls_are_sent_and_wait() -> None:
    async with opened(silence, max_calls=3) as (transport, server):
        calls = [asyncio.ensure_future(outcome(transport.call("ECHO", n))) for n in range(10)]
        await until(lambda: len(server.commands) == 3)
        await asyncio.gather(transport.close(), transport.close())
        assert {type(error) for error in await asyncio.gather(*calls)} == {exceptions.ConnectionError}
        await transport.close()
        with pytest.raises(exceptions.ConnectionError):
            await transport.call("ECHO", "more")
        assert len(server.peers) == 1
        watch = current(transport)._watch
        assert watch is not None
        assert watch.cancelled()


async def test_close_while_the_socket_takes_no_more() -> None:
    async def behave(peer: Peer) -> None:
        await asyncio.sleep(PATIENCE)

    async with opened(behave, max_bytes=2**30) as (transport, _):
        calls = [asyncio.ensure_future(outcome(transport.call("SET", b"x" * 2**22))) for _ in range(10)]
        await turns(1)
        await until(lambda: current(transport)._writer.state is State.FULL)
        await transport.close()
        assert {type(error) for error in await asyncio.gather(*calls)} == {exceptions.ConnectionError}


def test_it_belongs_to_one_event_loop() -> None:
    async def first() -> None:
        assert await transport.call("ECHO", 1) == b"1"

    async def second() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await transport.call("ECHO", 2)
        with pytest.raises(RuntimeError, match="another event loop"):
            await transport.close()

    async def finish() -> None:
        assert await transport.call("ECHO", 3) == b"3"
        await transport.close()
        await listening.__aexit__(None, None, None)

    with asyncio.Runner() as one, asyncio.Runner() as other:
        listening = FakeServer(echo).listening()
        server = one.run(listening.__aenter__())
        transport = Transport(Address(host="127.0.0.1", port=server.port))
        one.run(first())
        other.run(second())
        one.run(finish())

"""The transport on a real server that is killed, frozen, restarted and cut off."""

import asyncio
import random
import threading
import time
from collections.abc import Callable

import anyio
import pytest
from redis import exceptions

from abe_redis.client import failures
from abe_redis.client.address import Address
from tests.chaos.proxy import Proxy
from tests.integration.client.transports import (
    _nobody_complains,
    check_pushed,
    connected,
    new_loop,
    outcome,
    outcomes,
    push,
    sent,
    server,
    to,
    transport,
)
from tests.integration.conftest import until
from tests.servers import HOST, Server

__all__ = ["_nobody_complains", "new_loop", "server", "transport"]


async def test_client_kill_while_calls_are_in_flight(own_server: Server) -> None:
    async with connected(to(own_server), max_calls=100) as transport:
        await transport.call("PING")
        calls = asyncio.ensure_future(push(transport, 1000))
        await sent(transport)
        with own_server.admin() as admin:
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        got = await calls
        assert any(isinstance(answer, exceptions.ConnectionError) for answer in got)
        check_pushed(own_server, got, exceptions.ConnectionError)
        assert await transport.call("ECHO", "again") == b"again"


async def test_a_restart_while_it_idles(own_server: Server) -> None:
    async with connected(to(own_server)) as transport:
        assert await transport.call("ECHO", "1") == b"1"
        await anyio.to_thread.run_sync(own_server.restart)
        assert await transport.call("ECHO", "2") == b"2"


async def test_a_server_that_is_killed_and_comes_back(own_server: Server) -> None:
    async with connected(to(own_server)) as transport:
        await transport.call("PING")
        calls = asyncio.ensure_future(push(transport, 1000))
        await sent(transport)
        own_server.kill()
        got = await calls
        assert {type(answer) for answer in got} <= {int, exceptions.ConnectionError}
        error = await outcome(transport.call("PING"))
        assert type(error) is exceptions.ConnectionError
        assert failures.passes(error)
        await anyio.to_thread.run_sync(own_server.start)
        assert await transport.call("ECHO", "again") == b"again"


async def test_a_server_that_is_frozen(own_server: Server) -> None:
    async with connected(to(own_server), answer_seconds=0.3, connect_seconds=0.3) as transport:

        async def answers() -> bool:
            return bool(await outcome(transport.call("ECHO", "again")) == b"again")

        await until(answers)
        own_server.freeze()
        got = await push(transport, 1000)
        assert {type(error) for error in got} == {exceptions.TimeoutError}
        assert failures.passes(got[0])
        # The kernel still accepts connections.
        assert type(await outcome(transport.call("PING"))) is exceptions.TimeoutError
        own_server.thaw()
        await until(answers)
        check_pushed(own_server, got, exceptions.TimeoutError)


async def test_a_frozen_server_does_not_let_anybody_in(own_server: Server) -> None:
    own_server.freeze()
    async with connected(to(own_server, client_name="n"), connect_seconds=0.2) as transport:
        with pytest.raises(exceptions.TimeoutError, match="connected, but no answer within"):
            await transport.call("PING")


async def test_it_can_be_closed_while_the_server_is_frozen(own_server: Server) -> None:
    async with connected(to(own_server)) as transport:
        await transport.call("PING")
        own_server.freeze()
        calls = asyncio.ensure_future(push(transport, 1000))
        await sent(transport)
        await transport.close()
        assert {type(error) for error in await calls} == {exceptions.ConnectionError}


async def test_answers_that_are_cut(own_server: Server) -> None:
    async with Proxy(own_server.port) as proxy, connected(Address(host=HOST, port=proxy.port)) as transport:
        lost = 0
        for _ in range(30):
            proxy.cut_answers(random.randrange(2))
            words = [f"{n}-{random.random()}".encode() for n in range(50)]
            for word, answer in zip(
                words, await outcomes(*(transport.call("ECHO", word) for word in words)), strict=True
            ):
                if isinstance(answer, exceptions.ConnectionError):
                    lost += 1
                else:
                    assert answer == word
        assert lost


def test_a_loop_that_stands_still_is_not_the_servers_fault(
    server: Server, redis_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scenario() -> None:
        async with connected(to(server), answer_seconds=0.2) as transport:
            await transport.call("PING")
            calls = [asyncio.ensure_future(transport.call("ECHO", f"{n}" * 200_000)) for n in range(3)]
            await sent(transport)
            await asyncio.sleep(0)
            time.sleep(1)  # noqa: ASYNC251 - a handler that blocks
            assert await asyncio.gather(*calls) == [f"{n}".encode() * 200_000 for n in range(3)]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


def test_each_thread_may_have_its_own(server: Server, redis_url: str) -> None:
    async def scenario(name: int) -> None:
        async with connected(to(server)) as transport:
            words = [f"{name}-{n}".encode() for n in range(500)]
            assert await outcomes(*(transport.call("ECHO", word) for word in words)) == words
            done.append(name)

    done: list[int] = []
    threads = [threading.Thread(target=asyncio.run, args=[scenario(name)]) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2, 3]

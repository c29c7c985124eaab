"""The transport's calls on a real server: their order, answers, errors and cancellations."""

import asyncio
import random

import pytest
from redis import exceptions

from abe_redis.client import failures
from abe_redis.client.transport import Transport
from tests.integration.client.transports import _nobody_complains, connected, outcomes, server, to, transport
from tests.servers import Server

__all__ = ["_nobody_complains", "server", "transport"]


async def test_everybody_gets_their_own_answer(transport: Transport) -> None:
    words = [f"{n}".encode() + random.randbytes(random.randrange(3000)) for n in range(3000)]
    assert await outcomes(*(transport.call("ECHO", word) for word in words)) == words


async def test_cancelled_callers_disturb_no_other(transport: Transport) -> None:
    async def caller(name: int) -> int:
        own = 0
        for n in range(20):
            word = f"{name}-{n}".encode() + b"x" * random.randrange(2000)
            call = asyncio.ensure_future(transport.call("ECHO", word))
            if random.random() < 0.3:
                for _ in range(random.randrange(6)):
                    await asyncio.sleep(0)
                call.cancel()
            await asyncio.wait([call])
            if not call.cancelled():
                assert call.result() == word
                own += 1
        return own

    assert sum(await asyncio.gather(*map(caller, range(200)))) > 2000


async def test_commands_of_one_caller_keep_their_order(transport: Transport) -> None:
    calls = [transport.call("RPUSH", "list", n) for n in range(2000)]
    assert await asyncio.gather(*calls) == list(range(1, 2001))
    assert await transport.call("LRANGE", "list", 0, -1) == [b"%d" % n for n in range(2000)]


async def test_large_commands_and_answers(transport: Transport) -> None:
    words = [random.randbytes(5_000_000) for _ in range(8)]
    assert await outcomes(*(transport.call("ECHO", word) for word in words)) == words


async def test_a_script_that_the_server_does_not_know(transport: Transport) -> None:
    digest = (await transport.call("SCRIPT", "LOAD", "return {KEYS[1], ARGV[1], 7}")).decode()
    assert await transport.call("EVALSHA", digest, 1, "key", "word") == [b"key", b"word", 7]
    await transport.call("SCRIPT", "FLUSH")
    with pytest.raises(exceptions.NoScriptError):
        await transport.call("EVALSHA", digest, 1, "key", "word")


async def test_errors_have_redis_pys_classes(transport: Transport) -> None:
    await transport.call("SET", "key", "text")
    wrong, unknown, custom, fine, nested = await outcomes(
        transport.call("XADD", "key", "*", "data", "x"),
        transport.call("NOSUCH"),
        transport.call("EVAL", "return redis.error_reply('STREAMFULL it has 5 entries')", 0),
        transport.call("GET", "key"),
        transport.call("EVAL", "return {1, redis.error_reply('ERR inside')}", 0),
    )
    assert type(wrong) is type(unknown) is type(custom) is exceptions.ResponseError
    assert failures.stream_is_gone(wrong)
    assert str(custom).startswith("STREAMFULL")
    assert fine == b"text"
    assert nested[0] == 1
    assert isinstance(nested[1], exceptions.ResponseError)


async def test_memory_that_is_full(own_server: Server) -> None:
    with own_server.admin() as admin:
        admin.config_set("maxmemory", 1)
    async with connected(to(own_server)) as transport:
        with pytest.raises(exceptions.OutOfMemoryError):
            await transport.call("SET", "key", "x")

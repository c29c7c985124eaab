"""The transport over TLS: what goes through it, and how it fails."""

import asyncio
import random
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import exceptions

from abe_redis.client.address import Address
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
from tests.servers import HOST, Certificates, Server, Servers

__all__ = ["_nobody_complains", "new_loop", "server", "transport"]


@pytest.fixture
def tls_server(debian_redis: Servers) -> Server:
    return debian_redis(tls=True)


def context(server: Server, *, ca: Path | None = None, client: bool = True) -> ssl.SSLContext:
    certificates = server.certificates
    assert certificates is not None
    made = ssl.create_default_context(cafile=ca or certificates.ca)
    if client:
        made.load_cert_chain(certificates.client_cert, certificates.client_key)
    return made


@pytest.mark.parametrize("host", [HOST, "localhost"])
def test_tls(tls_server: Server, host: str, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> None:
        address = Address(host=host, port=tls_server.port, tls=context(tls_server), client_name="n")
        async with connected(address) as transport:
            assert await transport.call("CLIENT", "GETNAME") == b"n"
            words = [random.randbytes(random.choice([10, 1000, 300_000])) for _ in range(300)]
            assert await outcomes(*(transport.call("ECHO", word) for word in words)) == words
            got = asyncio.ensure_future(push(transport, 1000))
            await sent(transport)
            with tls_server.admin() as admin:
                admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            check_pushed(tls_server, await got, exceptions.ConnectionError)
            assert await transport.call("ECHO", "again") == b"again"
            tls_server.freeze()
            calls = asyncio.ensure_future(push(transport, 1000))
            await sent(transport)
            await transport.close()
            assert {type(error) for error in await calls} == {exceptions.ConnectionError}
            tls_server.thaw()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


async def test_tls_that_fails(tls_server: Server, tmp_path: Path) -> None:
    others = Certificates.make(tmp_path)
    for tls, says in (
        (context(tls_server, ca=others.ca), "certificate verify failed"),
        (context(tls_server, client=False), ""),
        (None, ""),
    ):
        async with connected(to(tls_server, tls=tls)) as transport:
            for error in await outcomes(transport.call("PING"), transport.call("PING")):
                assert type(error) is exceptions.ConnectionError
                assert says in str(error)


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 30])
async def test_close_while_tls_begins(tls_server: Server, turns: int) -> None:
    async with connected(to(tls_server, tls=context(tls_server))) as transport:
        call = asyncio.ensure_future(outcome(transport.call("PING")))
        for _ in range(turns):
            await asyncio.sleep(0)
        await transport.close()
        answer = await call
        assert answer == b"PONG" or isinstance(answer, exceptions.ConnectionError)


async def test_a_server_that_does_not_finish_tls(tls_server: Server) -> None:
    address = to(tls_server, tls=context(tls_server))
    async with connected(address, connect_seconds=0.2) as transport:
        tls_server.freeze()
        with pytest.raises(exceptions.TimeoutError, match="no connection within"):
            await transport.call("PING")
        tls_server.thaw()
    async with connected(address) as transport:
        assert await transport.call("ECHO", "now") == b"now"

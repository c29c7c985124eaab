"""Whom a real server lets in over the transport: users, databases, sockets, and too many clients."""

from typing import Any

import pytest
from redis import exceptions

from abe_redis import Settings
from abe_redis.client import failures
from abe_redis.client.address import Address
from tests.integration.client.transports import (
    _nobody_complains,
    connected,
    outcome,
    outcomes,
    server,
    to,
    transport,
)
from tests.servers import Server, Servers

__all__ = ["_nobody_complains", "server", "transport"]


@pytest.fixture
def acl_server(make_server: Servers) -> Server:
    return make_server(users={"default": "off", "app": "on >secret ~* +@all -flushall"})


async def test_a_user_with_a_name_in_a_database(acl_server: Server) -> None:
    address = to(acl_server, username="app", password="secret", db=3, client_name="abe-redis")
    async with connected(address) as transport:
        await transport.call("SET", "key", "x")
        assert await transport.call("CLIENT", "GETNAME") == b"abe-redis"
        assert b"db=3 " in await transport.call("CLIENT", "INFO")
        assert b"user=app " in await transport.call("CLIENT", "INFO")
        with pytest.raises(exceptions.NoPermissionError):
            await transport.call("FLUSHALL")
        assert await transport.call("GET", "key") == b"x"


@pytest.mark.parametrize(
    "who",
    [{}, {"client_name": "n"}, {"db": 1}, {"password": "secret"}, {"username": "app", "password": "wrong"}],
)
async def test_wrong_credentials_fail_every_call_and_write_nothing(
    acl_server: Server, who: dict[str, Any]
) -> None:
    async with connected(to(acl_server, **who)) as transport:
        for error in await outcomes(*(transport.call("SET", n, "x") for n in range(10))):
            assert isinstance(error, exceptions.AuthenticationError), str(error)
            explained = failures.explain(error, Settings(redis_url="redis://host"), doing="trying")
            assert "REDIS_USERNAME and REDIS_PASSWORD" in str(explained)
    with acl_server.admin() as admin:
        assert admin.dbsize() == 0


@pytest.mark.parametrize(
    "words", [["RPUSH", "list", *range(20)], ["SET", "n", "x" * 20_000]], ids=["many", "long"]
)
async def test_a_command_that_is_too_large_for_who_is_not_let_in_is_refused_as_any_other(
    acl_server: Server, words: list[Any]
) -> None:
    """The server calls it a protocol error, and hangs up."""
    async with connected(to(acl_server)) as transport:
        (error,) = await outcomes(transport.call(*words))
        assert isinstance(error, exceptions.AuthenticationError), str(error)


async def test_a_database_that_is_not_there(server: Server, redis_url: str) -> None:
    async with connected(to(server, db=10_000)) as transport:
        for error in await outcomes(transport.call("PING"), transport.call("PING")):
            assert type(error) is exceptions.ResponseError
            assert "DB index is out of range" in str(error)


async def test_a_unix_socket(server: Server, redis_url: str) -> None:
    async with connected(Address(path=str(server.socket), db=2)) as transport:
        await transport.call("SET", "key", "x")
        assert b"db=2 " in await transport.call("CLIENT", "INFO")


async def test_a_server_that_is_full(own_server: Server) -> None:
    with own_server.admin() as admin:
        admin.ping()
        admin.config_set("maxclients", 1)
        for address in (to(own_server), to(own_server, client_name="n")):
            async with connected(address) as transport:
                error = await outcome(transport.call("PING"))
                assert isinstance(error, exceptions.ConnectionError)
                assert failures.passes(error)

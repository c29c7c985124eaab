"""The transport on a real server, which is killed, frozen, restarted and made to refuse."""

import asyncio
import gc
import random
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis import exceptions

from abe_redis import Settings
from abe_redis.client import failures
from abe_redis.client.address import Address
from abe_redis.client.transport import Transport
from tests.chaos.proxy import Proxy
from tests.patience import PATIENCE
from tests.servers import HOST, Certificates, Server, Servers


@asynccontextmanager
async def connected(address: Address, **limits: Any) -> AsyncIterator[Transport]:
    transport = Transport(address, **limits)
    try:
        with anyio.fail_after(PATIENCE):
            yield transport
    finally:
        await transport.close()


@pytest.fixture
def server(lone_server: Server) -> Server:
    """All of this is about one server."""
    return lone_server


@pytest.fixture
async def transport(server: Server, redis_url: str) -> AsyncIterator[Transport]:
    """To the shared server."""
    async with connected(Address(host=HOST, port=server.port)) as transport:
        yield transport


def to(server: Server, **more: Any) -> Address:
    return Address(host=HOST, port=server.port, **more)


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except exceptions.RedisError as error:
        return error


async def outcomes(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*map(outcome, calls))


@pytest.fixture(autouse=True)
def _nobody_complains(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The event loop has nothing to say, as of an error that nobody looked at."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


# --- Answers ------------------------------------------------------------------------------------------


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


# --- Who comes ----------------------------------------------------------------------------------------


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


# --- Lost ---------------------------------------------------------------------------------------------


async def push(transport: Transport, count: int) -> list[Any]:
    """Write numbers into a list, each from a caller of its own."""
    return await outcomes(*(transport.call("RPUSH", "list", n, "x" * 500) for n in range(count)))


async def sent(transport: Transport) -> None:
    """Wait until calls are on their way."""
    while transport._wire is None or not transport._wire._unanswered:
        await asyncio.sleep(0)


def check_pushed(server: Server, got: list[Any], error: type[Exception]) -> None:
    """What was answered is there, what is there is there once, and the rest has the right error."""
    with server.admin() as admin:
        found: Any = admin.lrange("list", 0, -1)
    numbers = [int(word) for word in found if not word.startswith("x")]
    assert len(numbers) == len(set(numbers)), "nothing is sent twice"
    assert numbers == sorted(numbers)
    for n, answer in enumerate(got):
        if isinstance(answer, Exception):
            assert type(answer) is error
        else:
            assert answer == 2 * (numbers.index(n) + 1)


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
        await transport.call("PING")
        own_server.freeze()
        got = await push(transport, 1000)
        assert {type(error) for error in got} == {exceptions.TimeoutError}
        assert failures.passes(got[0])
        # The kernel still accepts connections.
        assert type(await outcome(transport.call("PING"))) is exceptions.TimeoutError
        own_server.thaw()
        assert await transport.call("ECHO", "again") == b"again"
        check_pushed(own_server, got, exceptions.TimeoutError)


async def test_a_frozen_server_does_not_let_anybody_in(own_server: Server) -> None:
    own_server.freeze()
    async with connected(to(own_server, client_name="n"), connect_seconds=0.2) as transport:
        with pytest.raises(exceptions.TimeoutError, match="no connection within"):
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


# --- Our own loop -------------------------------------------------------------------------------------


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    if request.param == "asyncio":
        return asyncio.new_event_loop
    found: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return found


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


# --- TLS ----------------------------------------------------------------------------------------------


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

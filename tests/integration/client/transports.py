"""A transport that is connected to a real server, and what becomes of its calls."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis import exceptions

from abe_redis.client.address import Address
from abe_redis.client.transport import Transport
from tests.patience import PATIENCE
from tests.servers import HOST, Server


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
    gc.collect()  # what other tests have left says it now
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


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


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    if request.param == "asyncio":
        return asyncio.new_event_loop
    found: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return found

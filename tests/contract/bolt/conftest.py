"""What all tests of Bolt apps share. Nothing here needs the other tests: an older Bolt runs these alone."""

from collections.abc import AsyncIterator

import pytest

from abe_redis.testing import FakeSlack
from tests.contract.bolt.bots import Bots


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as slack:
        yield slack


@pytest.fixture(params=["sync", "async"])
def bots(request: pytest.FixtureRequest, slack: FakeSlack) -> Bots:
    return Bots(request.param == "async", slack)

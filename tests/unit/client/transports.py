"""What tests of the transport share: its wire, a greeting that is granted, a loop that has no complaints."""

import gc
from collections.abc import Iterator

import pytest

from abe_redis.client.transport import Transport
from abe_redis.client.wire import Wire
from tests.unit.fake_server import (
    Peer,
    bulk,
)


def current(transport: Transport) -> Wire:
    assert transport._wire is not None
    return transport._wire


@pytest.fixture(autouse=True)
def _nobody_complains(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The event loop has nothing to say, as of an error that nobody looked at."""
    gc.collect()  # what other tests have left says it now
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []

    # And that nobody looks at the error is not worth a complaint: see _nobody_complains.


async def granting(peer: Peer) -> None:
    """Say OK to a greeting, and echo the rest."""
    while True:
        words = await peer.command()
        peer.send(bulk(words[-1]) if words[0] == b"ECHO" else b"+OK\r\n")

"""The servers that the doctor examines."""

import pytest

from tests.servers import Server, Servers


@pytest.fixture(params=["make_server", "debian_redis"])
def servers(request: pytest.FixtureRequest) -> Servers:
    """Valkey 9, then the system's Redis 7."""
    made: Servers = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def server(lone_server: Server) -> Server:
    """All of this is about one server."""
    return lone_server

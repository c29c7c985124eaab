"""A server over HTTP on each line of the SDK, for attackers and for the others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.attacks.wire import Agent
from tests.hosts import environments
from tests.hosts.conftest import Start, start
from tests.hosts.processes import Child, until
from tests.hosts.web import status
from tests.integration.conftest import make_backend, redis
from tests.servers import HOST, free_port

__all__ = ["make_backend", "redis", "start"]

LINES = ("1.30", "2.3")
"""The newest release of each line of the SDK."""


class Door:
    """A server in a process of its own."""

    def __init__(self, child: Child, port: int, clients: ExitStack) -> None:
        self.child = child
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._clients = clients
        until(lambda: status(f"{self.url}/healthz", headers={}) == 200, "the server to listen")

    def agent(self, name: str = "agent", *, modern: bool = False, **more: object) -> Agent:
        """A client of it, which is closed with the test."""
        return self._clients.enter_context(Agent(self.url, name=name, modern=modern, **more))  # type: ignore[arg-type]


type OpenDoor = Callable[..., Door]


@pytest.fixture
def door(start: Start, redis_url: str) -> Iterator[OpenDoor]:
    """Starts a server, on a release of the SDK, with options and variables."""
    with ExitStack() as clients:

        def run(version: str, *options: str, **variables: str) -> Door:
            port = free_port()
            child = start(
                environments.mcp_sdk(version),
                *("-m", "abe_redis", "mcp", "--http", "--port", str(port), *options),
                variables={"REDIS_URL": redis_url, "ABE_REDIS_MCP_STRUCTURED": "1"} | variables,
                forked=True,
            )
            return Door(child, port, clients)

        yield run

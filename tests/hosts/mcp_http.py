"""`abe-redis mcp --http` in a process, and what its clients say first."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.session import MessageHandlerFnT
from mcp.client.streamable_http import streamable_http_client

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.processes import Child
from tests.hosts.web import status
from tests.patience import PATIENCE
from tests.servers import HOST, free_port

VERSIONS = environments.SDKS


class Served:
    """A server in a process of its own."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.url = f"http://{HOST}:{port}"
        child.until(lambda: self.status("/healthz") == 200, "the server listened")

    def status(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> int:
        """What is answered to a request."""
        kinds = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return status(self.url + path, body=body, headers=kinds | given)

    @asynccontextmanager
    async def client(
        self, *, hear: MessageHandlerFnT | None = None, headers: dict[str, str] | None = None
    ) -> AsyncIterator[ClientSession]:
        """A client that is connected, and what is told of messages that it did not ask for."""
        async with (
            httpx.AsyncClient(headers=headers, timeout=PATIENCE) as http,
            streamable_http_client(f"{self.url}/mcp", http_client=http) as (read, write, _),
            ClientSession(read, write, message_handler=hear) as session,
        ):
            await session.initialize()
            yield session


BOTH = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}


@pytest.fixture
def serve(start: Start, redis_url: str) -> Callable[..., Served]:
    """Starts a server on a release of the SDK, by a fork unless the start is what counts."""

    def run(version: str, *options: str, forked: bool = True, **variables: str) -> Served:
        port = free_port()
        sdk = environments.mcp_sdk(version)
        child = start(
            sdk,
            *("-m", "abe_redis", "mcp", "--http", "--port", str(port), *options),
            variables={"REDIS_URL": redis_url, "ABE_REDIS_MCP_STRUCTURED": "1"} | variables,
            forked=forked,
        )
        return Served(child, port)

    return run

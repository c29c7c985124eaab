"""The agent: a real MCP client that talks over stdio to the real `abe-redis mcp`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

from abe_redis.cli.demo.stage import Stage, tail
from abe_redis.cli.demo.terminal import DemoError


class Agent:
    """Calls tools, and accepts only structured answers."""

    def __init__(self, session: ClientSession, log: Path) -> None:
        self._session = session
        self._log = log

    async def begin(self) -> None:
        """Initialize the session with the server.

        Raises:
            DemoError: It does not answer.
        """
        try:
            await self._session.initialize()
        except Exception as error:  # noqa: BLE001 - each release of the SDK raises exceptions of its own
            raise DemoError(f"The MCP server did not start: {error}. {self._last_words()}") from None

    async def tools(self) -> set[str]:
        """The names of the offered tools."""
        return {tool.name for tool in (await self._session.list_tools()).tools}

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - the tool checks them
        """Call a tool and return its answer.

        Raises:
            DemoError: It answered with an error.
        """
        result = await self._answer(tool, arguments)
        if result.get("isError") or not isinstance(result.get("structuredContent"), dict):
            raise DemoError(f"The tool {tool} answered: {result['content']}")
        return dict(result["structuredContent"])

    async def refused(self, tool: str, **arguments: Any) -> str:  # noqa: ANN401 - the tool checks them
        """Call a tool that is to refuse, and return what it says.

        Raises:
            DemoError: It did what it was asked.
        """
        result = await self._answer(tool, arguments)
        if not result.get("isError"):
            raise DemoError(f"The tool {tool} did not refuse, but answered: {result['content']}")
        return str(result["content"])

    async def _answer(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._session.call_tool(tool, arguments)
        except Exception as error:  # noqa: BLE001 - each release of the SDK raises exceptions of its own
            raise DemoError(f"The MCP server failed at {tool}: {error}. {self._last_words()}") from None
        # The names on the wire are the only ones that are the same in every release of the SDK.
        return answer.model_dump(by_alias=True)

    async def stats(self, stream: str) -> dict[str, Any]:
        """The answer of `stream_stats` about one stream."""
        return dict((await self.call("stream_stats", stream=stream))["streams"][0])

    def _last_words(self) -> str:
        return f"Its last words: {tail(self._log)}"


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[Agent]:
    """Start `abe-redis mcp` as any MCP client does, until the end of the block.

    Raises:
        DemoError: It did not start.
    """
    stage.waiting_for = "the MCP server"
    log = stage.directory / "mcp.log"
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "abe_redis", "mcp", "--structured"],  # it is a program, and no model
        env=stage.environment,
        cwd=stage.directory,
    )
    with log.open("w") as errors:
        async with (
            stdio_client(server, errlog=errors) as (read, write),
            ClientSession(read, write) as session,
        ):
            agent = Agent(session, log)
            await agent.begin()
            yield agent

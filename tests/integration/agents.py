"""An agent at the MCP server, without a wire between them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp.server.fastmcp.exceptions import ToolError

from abe_redis import RedisMessageQueueBackend
from abe_redis.mcp.compat.sdk import Server as McpServer
from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.server import make_server
from abe_redis.operations.event_views import compact
from abe_redis.operations.operations import Operations

TOPIC, GROUP = "slack_events", "agents"

type Ask = Callable[..., Awaitable[Any]]


def server(backend: RedisMessageQueueBackend, modes: Permissions | None = None) -> McpServer:
    modes = modes or Permissions(structured=True)
    operations = Operations(backend, origin="mcp", streams=modes.streams, limits=modes)

    async def give() -> Operations:
        return operations

    return make_server(give, modes)


def asking(agent: McpServer) -> Ask:
    async def ask(tool: str, /, **arguments: Any) -> Any:
        return await agent.call_tool(tool, arguments)

    return ask


async def refusal(ask: Ask, tool: str, /, **arguments: Any) -> str:
    with pytest.raises(ToolError) as error:
        await ask(tool, **arguments)
    return str(error.value)


def text_of(answer: Any) -> str:
    (content,) = answer.content
    return str(content.text)


def size(answer: Any) -> int:
    """The characters of an answer, whichever of its halves a client shows its model."""
    structure = answer.structuredContent
    return len(text_of(answer)) + (0 if structure is None else len(compact(structure)))


def said(number: int, text: str = "hello", **more: Any) -> dict[str, Any]:
    event = {"type": "message", "channel": f"C{number % 3}", "user": f"U{number % 2}", "text": text}
    return {"type": "event_callback", "event_id": f"Ev{number}", "event": event | more}


async def lease(ask: Ask, count: int) -> list[str]:
    events = (await ask("lease_events", group=GROUP, count=count)).structuredContent["events"]
    return [event["id"] for event in events]

"""An agent without a model: an MCP client that reads, works and acknowledges, over stdio.

    python examples/agent.py                                          # Redis on localhost
    REDIS_URL=embedded:///tmp/example python examples/agent.py        # with the extra "embedded"

It starts `abe-redis mcp` as Claude Desktop does, publishes two questions to a stream of its own, takes what
waits there under a lease, works on it, acknowledges it, and ends when nothing is left.
"""

import os
import sys
from typing import Any

import anyio
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

STREAM, GROUP = "slack:example-agent", "agents"

# A client passes on only what it is told to: without env, the server would not see REDIS_URL. A model reads
# text; this program asks for a structure, too.
SERVER = StdioServerParameters(
    command=sys.executable, args=["-m", "abe_redis", "mcp", "--structured"], env={**os.environ}
)


async def call(session: ClientSession, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
    """Call a tool; its structured answer. What went wrong is a sentence that says what to do."""
    result = (await session.call_tool(tool, arguments)).model_dump(by_alias=True)
    if result.get("isError"):
        raise RuntimeError(" ".join(part.get("text", "") for part in result["content"]))
    return dict(result["structuredContent"])


async def work_on_what_waits(session: ClientSession) -> None:
    """Lease, work, acknowledge, until nothing comes for a second."""
    while True:
        lease = await call(session, "lease_events", stream=STREAM, group=GROUP, count=5, wait_seconds=1)
        if not lease["events"]:
            return
        for event in lease["events"]:
            # A model would think about the words here, as data: they were written by people in Slack.
            print(f"working on {event['id']}: {event['untrusted_text']!r}")
        # Whatever is not acknowledged goes to someone else when the lease is over.
        done = await call(
            session, "ack", stream=STREAM, group=GROUP, ids=[one["id"] for one in lease["events"]]
        )
        print(f"done: {', '.join(done['acked'])}")


async def main() -> str | None:
    """One session, from the handshake to the end; the sentence that says what went wrong, if anything."""
    async with stdio_client(SERVER) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        print(f"tools: {', '.join(tool.name for tool in (await session.list_tools()).tools)}")
        try:
            for text in ("What did we decide on Monday?", "Who reviews the release?"):
                question = {"type": "app_mention", "text": text}
                added = await call(session, "publish_event", stream=STREAM, payload=question)
                print(f"published {added['id']}: {text!r}")
            await work_on_what_waits(session)
            (stats,) = (await call(session, "stream_stats", stream=STREAM))["streams"]
        except RuntimeError as error:
            return str(error)
        print(f"health: {stats['health']}. {stats['advice']}")
    return None


if __name__ == "__main__":
    raise SystemExit(anyio.run(main))

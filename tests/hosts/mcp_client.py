"""A client of whichever MCP SDK is installed, run in its environment: it does over stdio what it is told to.

The server's command comes as JSON in the first argument; with `--modern` the client speaks the newest
protocol that both sides know, without it the one with a handshake that all SDKs have. With `--agree yes` or
`--agree no` its user is there to be asked, and answers so; with `--agree nothing` it accepts without a
word. Then each line of JSON on stdin is a request, `{"list": true}`, `{"call": NAME, "arguments": {…}}`,
`{"follow": [URI, …]}` or `{"agree": ANSWER}`, and is answered by a line of JSON on stdout.
"""

import gc

gc.disable()  # what the imports make stays: a fifth of their time would go into looking for what does not
# ruff: noqa: E402

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from pydantic import BaseModel


def plain(model: BaseModel) -> dict[str, Any]:
    """What was on the wire, whatever the SDK calls it."""
    return model.model_dump(mode="json", by_alias=True)


def say(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def user() -> dict[str, Any]:
    """Options of a client whose user agrees or does not."""
    from mcp.types import ElicitResult

    async def asked(_: Any, parameters: Any) -> Any:
        questions.append(parameters.message)
        content: Any = None if answers[-1] == "nothing" else {"agreed": answers[-1] == "yes"}
        return ElicitResult(action="accept", content=content)

    return {"elicitation_callback": asked}


answers: list[str] = []
"""What the user answers, the last of them."""

questions: list[str] = []
"""What the user was asked."""

updates: list[str] = []
"""URIs of the resources that were said to have changed."""

lines: list[str] = []
"""What was said to have changed in them, by clients that pass it on."""


async def hear(message: Any) -> None:
    """Note what the server tells without being asked."""
    message = getattr(message, "root", message)  # 1.x wraps it
    if getattr(message, "method", "") == "notifications/resources/updated":
        updates.append(str(message.params.uri))
        said = plain(message)["params"].get("_meta") or {}
        lines.extend(value for name, value in said.items() if name.endswith("/changed"))


async def follow(session: Any, uris: list[str], *, task_status: Any) -> None:
    """Hear of changes, as the protocol of the session has it."""
    if hasattr(session, "listen"):
        async with session.listen(resource_subscriptions=uris) as events:
            task_status.started()
            async for event in events:
                updates.append(event.uri)  # noqa: PERF401 - each as it comes
    else:
        for uri in uris:
            await session.subscribe_resource(uri)
        task_status.started()


@asynccontextmanager
async def closable(parameters: StdioServerParameters) -> AsyncIterator[tuple[Any, Any]]:
    """Version 1's own client, which fails when a notification comes while it is being closed."""
    is_over = False
    try:
        async with stdio_client(parameters) as streams:
            yield streams
            is_over = True
    except* anyio.BrokenResourceError:
        if not is_over:
            raise


@asynccontextmanager
async def connected(parameters: StdioServerParameters, *, modern: bool, **options: Any) -> AsyncIterator[Any]:
    if modern:
        client_class: Any = __import__("mcp").Client
        async with client_class(stdio_client(parameters), **options) as client:
            say({"protocolVersion": client.protocol_version, "serverInfo": plain(client.server_info)})
            yield client
    else:
        async with (
            closable(parameters) as (read, write),
            ClientSession(read, write, **options) as session,
        ):
            say(plain(await session.initialize()))
            yield session


async def other(session: Any, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What is asked beside tools; the reference of a completion comes as a prompt's name or a template."""
    try:
        if method == "complete":
            from mcp import types

            template = "://" in arguments["of"]
            kinds = vars(types)
            ref: Any = (
                kinds["ResourceTemplateReference"](type="ref/resource", uri=arguments["of"])
                if template
                else kinds["PromptReference"](type="ref/prompt", name=arguments["of"])
            )
            argument = {"name": arguments["name"], "value": arguments["value"]}
            return plain(await session.complete(ref, argument))
        return plain(await getattr(session, method)(**arguments))
    except Exception as error:  # noqa: BLE001 - that is what is asked for
        return {"error": str(error)}


async def main() -> None:
    parameters = StdioServerParameters(**json.loads(sys.argv[1]))
    options: dict[str, Any] = {}
    if "--agree" in sys.argv:
        answers.append(sys.argv[sys.argv.index("--agree") + 1])
        options = user()
    modern = "--modern" in sys.argv
    if not modern:
        options["message_handler"] = hear
    async with (
        connected(parameters, modern=modern, **options) as session,
        anyio.create_task_group() as tasks,
    ):
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            request = json.loads(line)
            if "list" in request:
                say(plain(await session.list_tools()))
            elif "method" in request:
                say(await other(session, request["method"], request["arguments"]))
            elif "follow" in request:
                await tasks.start(follow, session, request["follow"])
                say({})
            elif "updates" in request:
                say({"updates": updates, "lines": lines})
            elif "agree" in request:
                answers.append(request["agree"])
                say({})
            elif "questions" in request:
                say({"questions": questions})
            else:
                say(plain(await session.call_tool(request["call"], request["arguments"])))
        tasks.cancel_scope.cancel()


anyio.run(main)

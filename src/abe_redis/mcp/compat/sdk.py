"""One server for both lines of the MCP SDK, 1.26 to 2.3, with the features that both lack.

What differs: the server class and its module (`FastMCP` became `MCPServer`), the parameters of its
constructor, and the attribute that holds a tool's input schema. MCP types are built with their
camelCase names, which both lines understand.

What both lack: they drop unknown arguments silently, and 1.x shows a model the text of any exception. So
every failure becomes a sentence here, and every sentence is made fit for a model.
"""

import functools
import inspect
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, override

import anyio
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ValidationError

from abe_redis.errors import AbeRedisError, RequestError
from abe_redis.mcp import access, progress
from abe_redis.mcp.client_identity import CALLER, caller
from abe_redis.mcp.compat import stdio
from abe_redis.mcp.compat.arguments import Tool, arguments_of, sentences, validated, without_absent
from abe_redis.mcp.compat.disconnects import leave_out_disconnects
from abe_redis.mcp.compat.one_answer import answer_once
from abe_redis.mcp.compat.plain_schema import plain_schema
from abe_redis.mcp.consent import Consent
from abe_redis.mcp.lease_calls import LeaseCalls
from abe_redis.mcp.questions import Question
from abe_redis.mcp.refusals import of_resource, protocol_error, sentence
from abe_redis.mcp.running_calls import RunningCalls
from abe_redis.mcp.sdk_line import SDK_2
from abe_redis.mcp.subscriptions import Queue, Subscriptions
from abe_redis.mcp.waits import DID_NOT_WAIT, Waits
from abe_redis.observability import hooks
from abe_redis.operations.caller_limits import AGREED

if TYPE_CHECKING:  # for the line in the lock file
    from mcp.server.fastmcp import FastMCP as SdkServer
    from mcp.server.fastmcp.exceptions import ToolError

    Apps: Any  # of 2.x only
elif SDK_2:
    from mcp.server.apps import Apps
    from mcp.server.mcpserver import MCPServer as SdkServer
    from mcp.server.mcpserver.exceptions import ToolError
else:
    from mcp.server.fastmcp import FastMCP as SdkServer
    from mcp.server.fastmcp.exceptions import ToolError

_LOG = logging.getLogger(__name__)

type Ask = Callable[[dict[str, Any]], Awaitable[Question | None]]
"""Finds the question for the user before a call with these arguments, or None."""


class _UnexpectedError(ToolError):
    """An unexpected failure; the log has the traceback."""


class Server(SdkServer):
    """An MCP server that refuses unknown arguments, and does not leak exceptions."""

    def __init__(self, name: str, *, title: str, version: str, instructions: str) -> None:
        self._arguments: dict[str, type[BaseModel]] = {}
        self._schemas: dict[str, dict[str, Any]] = {}
        self._withheld: dict[str, str] = {}
        self._questions: dict[str, Ask] = {}
        self._consent = Consent()
        self._waits = Waits()
        self.running_calls = RunningCalls()
        self.lease_calls = LeaseCalls()
        self.unheard = anyio.Event()
        """Set when the client over stdio has closed its end of our stdout."""
        self._prompts: dict[str, list[str]] = {}
        more: dict[str, Any] = {"title": title, "version": version, "extensions": [Apps()]} if SDK_2 else {}
        answer_once()
        super().__init__(name=name, instructions=instructions, log_level="WARNING", **more)
        self._lowlevel: Any = getattr(self, "_lowlevel_server" if SDK_2 else "_mcp_server")
        if not SDK_2:
            self._lowlevel.version = version

    def offer(
        self,
        function: Tool,
        *,
        title: str,
        description: str,
        question: Ask | None = None,
        page: str | None = None,
        changes: bool,
        may_be_repeated: bool = False,
    ) -> None:
        """Register a tool; its parameters are those of the function.

        Args:
            function: A coroutine function, annotated with descriptions and bounds.
            title: For people.
            description: For the model.
            question: Finds what to ask the user first. The tool then has a parameter `confirm`, for clients
                that cannot ask.
            page: The URI of a page that clients may show beside the answers.
            changes: Whether it changes anything; clients are told that such a tool is destructive.
            may_be_repeated: Whether calling it again with the same arguments changes nothing more.
        """
        name = function.__name__
        self._arguments[name] = model = arguments_of(function)
        self._schemas[name] = plain_schema(model.model_json_schema())
        if question is not None:
            self._questions[name] = question
        self.add_tool(
            function,
            name=name,
            title=title,
            description=description,
            annotations=ToolAnnotations(
                title=title,
                readOnlyHint=not changes,
                destructiveHint=changes,
                idempotentHint=may_be_repeated or not changes,
                openWorldHint=False,
            ),
            meta=None if page is None else {"ui": {"resourceUri": page}},
        )
        # The SDK parses strings that happen to be JSON as lists and objects, even if the tool wants a string.
        tool: Any = self._tool_manager.get_tool(name)
        object.__setattr__(tool.fn_metadata, "pre_parse_json", lambda arguments: arguments)

    @override
    async def run_stdio_async(self) -> None:
        """Serve on stdin and stdout until stdin ends."""
        await stdio.serve(
            self._lowlevel, functools.partial(self.lease_calls.cancelled, None), self.unheard.set
        )

    def http_app(self, path: str, host: str, security: Any) -> Any:  # noqa: ANN401 - ASGI
        """The server as an ASGI application, for streamable HTTP.

        Args:
            path: The path of the endpoint.
            host: The address on which it listens.
            security: The host names and origins that it accepts.
        """
        leave_out_disconnects()
        if SDK_2:
            more: Any = {"streamable_http_path": path, "transport_security": security, "host": host}
            return self.streamable_http_app(**more)
        self.settings.streamable_http_path = path
        self.settings.transport_security = security
        return self.streamable_http_app()

    def know_access(self) -> None:
        """Let every request run with the access that its token gives; for servers over HTTP."""
        from abe_redis.mcp.compat.requests import know_access  # noqa: PLC0415 - stdio needs no web server

        know_access(self._lowlevel)

    @override
    async def read_resource(self, *given: Any, **more: Any) -> Any:
        try:
            return await super().read_resource(*given, **more)
        except Exception as error:  # noqa: BLE001 - whatever the SDK made of it
            raise of_resource(error) from None

    def offer_resource(self, function: Tool, uri: str, *, title: str, description: str) -> None:
        """Register a text resource under a URI or a template of URIs, whose variables are its parameters."""
        name = function.__name__
        self.resource(uri, name=name, title=title, description=description, mime_type="text/plain")(function)

    def offer_page(self, function: Tool, uri: str, *, title: str, description: str) -> None:
        """Register a page to which tools refer; see the extension MCP Apps (`io.modelcontextprotocol/ui`)."""
        self.resource(
            uri,
            name=function.__name__,
            title=title,
            description=description,
            mime_type="text/html;profile=mcp-app",
            meta={"ui": {"prefersBorder": True}},
        )(function)

    def offer_updates(self, queue: Queue, check: Callable[[str], Awaitable[None]]) -> None:
        """Let clients subscribe to resources; the caller runs `subscriptions`."""
        self.subscriptions = Subscriptions(queue, check)
        self.subscriptions.serve(self)

    def offer_prompt(self, function: Tool, *, title: str, description: str) -> None:
        """Register a prompt; its variables are the parameters of the function."""
        self._prompts[function.__name__] = list(inspect.signature(function).parameters)
        self.prompt(name=function.__name__, title=title, description=description)(function)

    def bound(self, name: str, parameter: str, most: float) -> None:
        """Say the largest value of a parameter at this server; the operations below refuse more."""
        said = self._schemas[name]["properties"][parameter]
        said["description"] = re.sub(r" to [\d.e+]+\)\.$", f" to {most:g}).", said["description"])

    def describe(self, name: str, parameter: str, description: str) -> None:
        """Describe a parameter as it works at this server."""
        self._schemas[name]["properties"][parameter]["description"] = description

    def withhold(self, name: str, why: str) -> None:
        """Withhold a tool, and answer calls of it with the reason."""
        self._withheld[name] = why

    @override
    async def list_tools(self) -> list[Any]:
        tools: list[Any] = await super().list_tools()
        for tool in tools:
            schema = tool.input_schema if SDK_2 else tool.inputSchema
            schema.clear()
            schema.update(self._schemas[tool.name])
        return tools

    @override
    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None, *context: Any) -> Any:
        for given in arguments or {}:
            if given not in self._prompts.get(name, [given]):
                has = ", ".join(self._prompts[name])
                raise ValueError(f"{given[:40]!r} is not an argument of the prompt {name}; it has: {has}.")
        return await super().get_prompt(name, arguments, *context)

    @override
    async def call_tool(self, name: str, arguments: dict[str, Any], *context: Any) -> Any:
        """Check the arguments, run the tool, and turn every failure into a sentence."""
        end = hooks.calling(name if name in self._arguments else "unknown")
        outcome: hooks.CallOutcome = "failed"
        try:
            answered = await self._call(name, arguments, *context)
            outcome = "done"
        except ToolError as error:
            outcome = "failed" if isinstance(error, _UnexpectedError) else "refused"
            raise
        finally:
            if end is not None:
                end(outcome)
        return answered

    async def _call(self, name: str, given: dict[str, Any], *context: Any) -> Any:  # noqa: ANN401 - the SDK's
        here = context[0] if context else self.get_context()
        try:
            # Both are set in the task of this call, and end with it.
            CALLER.set(caller(here))
            AGREED.set(None)
            arguments = self._checked(name, given)
            power = access.OF_TOOLS[name]
            access.check(power)
            with access.within(power), self.running_calls.one():
                async with self.lease_calls.known(name, CALLER.get(), here):
                    return await self._run(name, arguments, here, *context)
        except Exception as error:  # noqa: BLE001 - every failure becomes a sentence for the model
            cause = error.__cause__ or error
            if isinstance(cause, AbeRedisError):
                raise ToolError(sentence(cause)) from None
            _LOG.error("The tool %s failed.", name, exc_info=cause)
            raise _UnexpectedError(
                f"{name} failed unexpectedly ({type(cause).__name__}). The call itself may be right: "
                "try again, and if it fails again, look into the server's log."
            ) from None

    async def _run(self, name: str, arguments: dict[str, Any], here: Any, *context: Any) -> Any:  # noqa: ANN401 - the SDK's
        """Ask the user, if that is needed, and run the tool."""
        if find := self._questions.get(name):
            agreed = await self._consent.ask(
                here,
                functools.partial(find, arguments),
                CALLER.get(),
                [name, arguments],
                confirmed=arguments.get("confirm") is True,
            )
            if not isinstance(agreed, frozenset | None):
                return agreed
            AGREED.set(agreed)
        with self._waits.bounded(CALLER.get(), arguments) as did_not_wait:
            async with progress.reported(here, arguments):
                try:
                    answered = await super().call_tool(name, arguments, *context)
                except ToolError as error:
                    if did_not_wait and isinstance(error.__cause__, RequestError):
                        raise RequestError(f"{error.__cause__} {DID_NOT_WAIT}") from None
                    raise
        return _with_words(answered, DID_NOT_WAIT) if did_not_wait else answered

    def _checked(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The validated arguments, as the tool and the question for the user get them.

        Raises:
            RequestError: There is no such tool, or it does not accept them.
        """
        if name in self._withheld:
            raise RequestError(f"{name} is not available: {self._withheld[name]}")
        if name not in self._arguments:
            raise RequestError(f"There is no tool {name!r}. Available are: {', '.join(self._arguments)}.")
        model = self._arguments[name]
        arguments = without_absent(model, arguments)
        try:
            valid = validated(model, arguments)
        except ValidationError as error:
            raise RequestError(sentences(error, model)) from None
        return {argument: getattr(valid, argument) for argument in valid.model_fields_set}


def told(function: Tool) -> Tool:
    """Wrap a function so that its failures become sentences fit for a model."""

    @functools.wraps(function)
    async def told_of(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - as the function
        try:
            return await function(*args, **more)
        except AbeRedisError as error:
            raise protocol_error(error) from None  # 2.x keeps the words of any other to itself
        except Exception as error:  # noqa: BLE001 - as for a tool
            _LOG.error("%s failed.", function.__name__, exc_info=error)
            raise ValueError(f"It failed unexpectedly ({type(error).__name__}).") from None

    return told_of


def _with_words(answered: Any, words: str) -> Any:  # noqa: ANN401 - the SDK's
    """An answer with a sentence more, unless events take the place."""
    structure = answered.structured_content if SDK_2 else answered.structuredContent
    if not (structure or {}).get("events"):
        answered.content.append(TextContent(type="text", text=words))
    return answered


def answer(structure: dict[str, Any], text: str) -> CallToolResult:
    """A tool's answer: the same facts as a structure and as compact text."""
    return CallToolResult(content=[TextContent(type="text", text=text)], structuredContent=structure)


def text_answer(text: str) -> CallToolResult:
    """A tool's answer that is text alone, since several clients would show their model only a structure."""
    return CallToolResult(content=[TextContent(type="text", text=text)])

"""Clients of `abe-redis mcp --http` that write their own requests: what an SDK would not send, they do."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from tests.patience import PATIENCE

HANDSHAKE, MODERN = "2025-06-18", "2026-07-28"
_META = "io.modelcontextprotocol/"


class Agent:
    """A client of one era, with the name and the headers that it likes."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "agent",
        modern: bool = False,
        headers: Mapping[str, str] | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._modern = modern
        self._capabilities = dict(capabilities or {})
        self._number = 0
        kinds = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        version = {"MCP-Protocol-Version": MODERN} if modern else {}
        self.http = httpx.Client(
            base_url=url, headers={**kinds, **version, **(headers or {})}, timeout=PATIENCE
        )
        self.session = ""
        """The id of its session; empty without one."""
        if not modern:
            self._greet()

    def _greet(self) -> None:
        greeting = self.http.post(
            "/mcp",
            json=self.message(
                "initialize",
                {
                    "protocolVersion": HANDSHAKE,
                    "capabilities": self._capabilities,
                    "clientInfo": {"name": self._name, "version": "0"},
                },
            ),
        )
        assert greeting.status_code == 200, (greeting.status_code, greeting.text)
        self.session = greeting.headers["mcp-session-id"]
        self.http.headers["mcp-session-id"] = self.session
        self.http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})

    def message(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The next request of its session."""
        self._number += 1
        return {"jsonrpc": "2.0", "id": self._number, "method": method, "params": dict(parameters)}

    def post(self, tool: str, arguments: Mapping[str, Any], **more: Any) -> httpx.Response:
        """Send a call, and return what is answered as it came."""
        parameters: dict[str, Any] = {"name": tool, "arguments": dict(arguments), **more}
        headers = {}
        if self._modern:
            parameters["_meta"] = {
                f"{_META}protocolVersion": MODERN,
                f"{_META}clientInfo": {"name": self._name, "version": "0"},
                f"{_META}clientCapabilities": self._capabilities,
            }
            headers = {"Mcp-Method": "tools/call", "Mcp-Name": tool}
        return self.http.post("/mcp", json=self.message("tools/call", parameters), headers=headers)

    def ask(self, tool: str, arguments: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """The result of a call, also of one that is refused."""
        answered = self.post(tool, arguments, **more)
        assert answered.status_code in {200, 400}, (answered.status_code, answered.text)
        found = _message_of(answered.text)
        result: dict[str, Any] = found.get("result") or {"isError": True, "error": found["error"]}
        return result

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The structure of an answer."""
        result = self.ask(tool, arguments)
        assert not result.get("isError"), result
        structure: dict[str, Any] = result["structuredContent"]
        return structure

    def refused(self, tool: str, /, **arguments: Any) -> str:
        """The sentence of a refusal; empty when the call was carried out."""
        result = self.ask(tool, arguments)
        return str(result.get("content", result)) if result.get("isError") else ""

    def lease(self, stream: str, group: str, count: int = 10, **more: Any) -> list[str]:
        """The ids of the events that it is given."""
        leased = self.call("lease_events", stream=stream, group=group, count=count, **more)
        return [event["id"] for event in leased["events"]]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()


def _message_of(text: str) -> dict[str, Any]:
    """The last message of an answer, which is JSON or an event stream."""
    data = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    message: dict[str, Any] = json.loads(next((one for one in reversed(data) if '"id"' in one), text))
    return message

"""Schemas of the tools: what every client takes."""

import json
from typing import Any

import pytest

from abe_redis.mcp.permissions import Permissions
from tests.integration.agents import server
from tests.integration.conftest import MakeBackend


def said_by(schema: dict[str, Any]) -> set[str]:
    """Every word of a schema, and of those within it."""
    words = set(schema)
    for field in schema.get("properties", {}).values():
        words |= said_by(field)
    return words | (said_by(schema["items"]) if "items" in schema else set())


@pytest.mark.parametrize(
    "permissions", [Permissions(), Permissions(read_only=True), Permissions(publish=False)]
)
async def test_schemas_say_only_what_every_client_takes(
    make_backend: MakeBackend, permissions: Permissions
) -> None:
    """The strictest common subset of Gemini's interfaces and OpenAI's strict one."""
    tools = [
        tool.model_dump(by_alias=True, exclude_none=True)
        for tool in await server(make_backend(), permissions).list_tools()
    ]
    for tool in tools:
        schema = tool["inputSchema"]
        assert schema["type"] == "object"
        assert said_by(schema) <= {"type", "description", "enum", "items", "properties", "required"}
        pending_schemas = [schema]
        while pending_schemas:
            one = pending_schemas.pop()
            assert one["type"] in {"object", "array", "string", "integer", "number", "boolean"}
            if one["type"] == "object":
                assert one["properties"], "Gemini takes no object without properties"
                assert set(one.get("required", [])) <= set(one["properties"])
                assert one.get("required") != []
                pending_schemas += one["properties"].values()
            if one["type"] == "array":
                pending_schemas.append(one["items"])
            assert one.get("enum") != []
            assert one["type"] == "string" or "enum" not in one
        assert all(one["description"] for one in schema["properties"].values())
        assert tool["annotations"]["readOnlyHint"] is not tool["annotations"]["destructiveHint"]
        assert "outputSchema" not in tool
    assert len(json.dumps(tools)) <= 12_000

"""What the distribution promises to those who install it and to the hosts that look for it."""

import json
import re
import tomllib
from collections.abc import Mapping
from importlib.metadata import Distribution, EntryPoint, distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = "slack_mcp_plugin.backends.queue.redis:RedisMessageQueueBackend"


@pytest.fixture(scope="module")
def installed() -> Distribution:
    return distribution("abe-redis")


@pytest.fixture(scope="module")
def project() -> Mapping[str, Any]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["project"]
    return found


def entry_point(dist: Distribution, group: str, name: str) -> EntryPoint:
    (found,) = dist.entry_points.select(group=group, name=name)
    return found


@pytest.mark.parametrize(
    "group",
    [
        "slack_mcp.backends.queue",  # slack-mcp 0.0.x
        "abe.backends.message_queue",  # abstract-backend 0.0.1: slack-mcp since 0.1
        "abe.backends.message_queue.service",  # what abstract-backend's documents say
    ],
)
def test_every_host_finds_the_plug_in(installed: Distribution, group: str) -> None:
    from abe_redis import RedisMessageQueueBackend

    found = entry_point(installed, group, "redis")
    assert found.value == PLUGIN
    assert found.load() is RedisMessageQueueBackend


def test_the_host_keeps_its_memory_backend(installed: Distribution) -> None:
    # Without it, QUEUE_BACKEND=memory fails as soon as we are installed.
    found = entry_point(installed, "abe.backends.message_queue", "memory")
    assert found.value == "abe.backends.message_queue.service.memory:MemoryBackend"


def test_the_plug_in_has_its_three_import_paths() -> None:
    import abe_redis
    from slack_mcp_plugin.backends import queue
    from slack_mcp_plugin.backends.queue import redis

    assert queue.RedisMessageQueueBackend is abe_redis.RedisMessageQueueBackend
    assert redis.RedisMessageQueueBackend is abe_redis.RedisMessageQueueBackend


@pytest.mark.parametrize("package", ["abe_redis", "slack_mcp_plugin"])
def test_type_checkers_may_read_our_annotations(package: str) -> None:
    assert files(package).joinpath("py.typed").is_file()


def test_every_public_name_is_there() -> None:
    import abe_redis

    for name in abe_redis.__all__:
        assert getattr(abe_redis, name) is not None


def test_the_metadata_is_what_pyproject_says(installed: Distribution, project: Mapping[str, Any]) -> None:
    assert installed.version == project["version"]
    assert installed.metadata["Requires-Python"] == project["requires-python"] == ">=3.12"


def test_the_version_stands_in_one_place(project: Mapping[str, Any]) -> None:
    version = project["version"]
    for source in (ROOT / "src").rglob("*.py"):
        assert version not in source.read_text(encoding="utf-8"), f"{source} repeats the version"


def test_the_registration_runs_our_console_script(project: Mapping[str, Any]) -> None:
    registration = json.loads((ROOT / "mcp.json").read_text(encoding="utf-8"))
    assert list(registration) == ["mcpServers"]
    ((name, server),) = registration["mcpServers"].items()
    assert name == project["name"]
    assert server["command"] in project["scripts"]
    assert server["args"] == ["mcp"]
    assert all(isinstance(value, str) for value in server["env"].values())


def test_the_registry_is_told_what_there_is(project: Mapping[str, Any]) -> None:
    """By the rules of https://github.com/modelcontextprotocol/registry."""
    from abe_redis import Settings

    server = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    (package,) = server["packages"]
    assert server["version"] == package["version"] == project["version"]
    assert (package["registryType"], package["identifier"]) == ("pypi", project["name"])
    assert package["transport"] == {"type": "stdio"}
    assert [one["value"] for one in package["packageArguments"]] == ["mcp"]
    assert len(server["description"]) <= 100
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", server["name"])
    # The registry looks for it in the description on PyPI, to see that both have one owner.
    assert f"mcp-name: {server['name']} " in (ROOT / "README.md").read_text(encoding="utf-8")
    for variable in package["environmentVariables"]:
        name = variable["name"]
        assert name == "ABE_REDIS_MCP_READ_ONLY" or name.lower() in Settings.model_fields
        assert variable.get("isSecret", False) == (name in {"REDIS_URL", "REDIS_PASSWORD"})


def test_the_registration_sets_only_known_variables() -> None:
    from abe_redis import Settings

    registration = json.loads((ROOT / "mcp.json").read_text(encoding="utf-8"))
    known = {field.upper() for field in Settings.model_fields}
    for server in registration["mcpServers"].values():
        assert {*server["env"]} <= known

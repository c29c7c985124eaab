"""The MCPB bundle, installed and started as a client does."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.hosts.environments import ROOT, find_uv, run_uv, uv_variables


def made(directory: Path) -> Path:
    """The bundle of this working tree, unpacked."""
    run_uv(
        *("build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", str(directory)), str(ROOT)
    )
    (wheel,) = directory.glob("*.whl")
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bundle.py", wheel], capture_output=True, text=True, check=True
    )
    bundle = Path(result.stdout.strip())
    assert bundle.suffix == ".mcpb"
    with zipfile.ZipFile(bundle) as content:
        content.extractall(directory / "unpacked")
    return directory / "unpacked"


@pytest.mark.heavy
def test_a_client_installs_it(redis_url: str, tmp_path: Path) -> None:
    root = made(tmp_path)
    manifest = json.loads((root / "manifest.json").read_text("utf-8"))
    asked = manifest["user_config"]
    # What is optional has a default: otherwise a client would hand on the placeholder itself.
    assert all("default" in one for one in asked.values())
    assert {name for name, one in asked.items() if one["sensitive"]} == {"redis_url", "redis_password"}

    async def tools(**answers: Any) -> list[str]:
        given = {name: one["default"] for name, one in asked.items()} | {"redis_url": redis_url} | answers

        def filled(text: str) -> str:
            text = text.replace("${__dirname}", str(root))
            for name, value in given.items():
                said = str(value).lower() if isinstance(value, bool) else str(value)
                text = text.replace(f"${{user_config.{name}}}", said)
            assert "${" not in text
            return text

        config = manifest["server"]["mcp_config"]
        assert config["command"] == "uv"
        command = [*find_uv(), *map(filled, config["args"])]
        environment = uv_variables() | {"UV_PYTHON": sys.executable}
        environment |= {name: filled(value) for name, value in config["env"].items()}
        parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment)
        async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            assert not (await session.call_tool("stream_stats", {})).isError
            return [tool.name for tool in (await session.list_tools()).tools]

    assert anyio.run(tools) == [one["name"] for one in manifest["tools"]]
    assert anyio.run(lambda: tools(abe_redis_mcp_read_only=True)) == [
        "stream_stats",
        "read_stream",
        "count_events",
    ]

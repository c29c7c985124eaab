"""What the MCPB bundle tells its user before it is installed."""

import base64
import importlib.util
import json
import re
import struct
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(
    r"https://github\.com/Chisanan232/abe-redis/blob/main/(?P<path>[^#)]+)(?:#(?P<part>[a-z-]+))?"
)


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("bundle", ROOT / "scripts" / "bundle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    metadata = Message()
    for name in ("Name", "Version", "Summary", "License-Expression", "Keywords", "Requires-Python"):
        metadata[name] = "1.0.0"
    made: dict[str, Any] = module.manifest(metadata)
    return made


def test_it_says_where_support_documents_and_privacy_are(manifest: dict[str, Any]) -> None:
    assert manifest["support"].endswith("/issues")
    assert manifest["repository"]["type"] == "git"
    links = [*manifest["privacy_policies"], manifest["documentation"], manifest["long_description"]]
    found = [match for text in links for match in LINK.finditer(text)]
    assert len(found) == len(links), "each of them has a link into this repository"
    for match in found:
        page = (ROOT / match["path"]).read_text(encoding="utf-8")
        titles = {
            title.casefold().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
        }
        assert match["part"] is None or match["part"] in titles, match[0]


def test_it_describes_every_tool_and_no_other(manifest: dict[str, Any]) -> None:
    described = set(re.findall(r"`([a-z_]+)`", manifest["long_description"]))
    assert described == {tool["name"] for tool in manifest["tools"]}


def test_it_has_an_icon_and_a_picture(manifest: dict[str, Any]) -> None:
    for name, side in ((manifest["icon"], 512), (manifest["screenshots"][0], 1000)):
        data = (ROOT / "docs/_static" / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", data[16:24])
        assert min(width, height) >= side
    icons = json.loads((ROOT / "server.json").read_text("utf-8"))["icons"]
    assert all(one["src"].endswith(f"/main/docs/_static/{manifest['icon']}") for one in icons)


def test_the_links_that_install_it_register_what_mcp_json_does() -> None:
    page = (ROOT / "docs/agents.md").read_text("utf-8")
    (ours,) = json.loads((ROOT / "mcp.json").read_text("utf-8"))["mcpServers"].values()
    links = re.findall(r"\(https://(?:cursor|insiders)\.[^)]*\)", page)
    assert len(links) == 2
    for link in links:
        query = parse_qs(urlsplit(link[1:-1]).query)
        (config,) = query["config"]
        given = json.loads(config if config.startswith("{") else base64.b64decode(config))
        assert query["name"] == ["abe-redis"]
        assert given == ours | {"command": "uvx", "args": [ours["command"], *ours["args"]]}


def test_the_readme_leads_to_what_is_private() -> None:
    assert "(docs/security.md#privacy)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tools_that_the_documents_list_are_those_that_exist(manifest: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    table = page.partition("## The tools")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == [
        tool["name"] for tool in manifest["tools"]
    ]

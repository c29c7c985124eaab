"""Make an MCPB bundle of a wheel: one file that a client such as Claude Desktop installs by itself.

    python scripts/bundle.py dist/abe_redis-VERSION-py3-none-any.whl

The bundle lies beside the wheel and holds it; what it depends on, the client's uv fetches. It runs with the
Python that abe-redis is installed in, since the bundle lists the server's own tools.
"""

import json
import shutil
import sys
import tempfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import anyio

from abe_redis.errors import ClosedError
from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.server import make_server
from abe_redis.operations.operations import Operations

PICTURES = Path(__file__).parents[1] / "docs/_static"
ICON, SCREENSHOT = PICTURES / "icon.png", PICTURES / "dashboard.png"
SERVER = json.loads((Path(__file__).parents[1] / "server.json").read_text("utf-8"))
REPOSITORY = "https://github.com/Chisanan232/abe-redis"
DOCUMENTS = f"{REPOSITORY}/blob/main/docs"
LONG_DESCRIPTION = f"""\
Lets an agent see which Slack events wait in Redis Streams, who works on them and what went wrong, and work
through them:

- `stream_stats`, `read_stream` and `count_events` look, and change nothing;
- `lease_events`, `ack` and `release` take events, finish them and give them back;
- `redrive` delivers again what was given up on, and `publish_event` adds an event.

What people wrote reaches the model fenced and labelled as data, without secrets. Giving up on events and
delivering them again ask you first. *Read only* offers the first three tools alone.

It talks to your Redis and to this client, and to nothing else: [privacy]({DOCUMENTS}/security.md#privacy).
"""
TITLES = {
    "REDIS_URL": "Redis URL",
    "REDIS_PASSWORD": "Redis password",
    "SLACK_EVENTS_TOPIC": "Stream",
    "ABE_REDIS_MCP_READ_ONLY": "Read only",
}


def main(wheel: Path) -> Path:
    """Make the bundle; its path."""
    with zipfile.ZipFile(wheel) as content:
        (name,) = (one for one in content.namelist() if one.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(content.read(name))
    bundle = wheel.parent / f"abe-redis-{metadata['Version']}.mcpb"
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        shutil.copy(wheel, root)
        for picture in (ICON, SCREENSHOT):
            shutil.copy(picture, root)
        (root / "manifest.json").write_text(json.dumps(manifest(metadata), indent=2) + "\n", "utf-8")
        (root / "pyproject.toml").write_text(project(metadata, wheel.name), "utf-8")
        (root / "server.py").write_text(ENTRY_POINT, "utf-8")
        with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as made:
            for path in sorted(root.iterdir()):
                made.write(path, path.name)
    return bundle


ENTRY_POINT = '''\
"""What the client starts; the rest is in the wheel beside it."""

import sys

from abe_redis.cli import main

sys.argv[1:1] = ["mcp"]
main()
'''


def project(metadata: Message, wheel: str) -> str:
    """The project that uv runs: nothing but abe-redis, from the wheel beside it."""
    return (
        "[project]\n"
        'name = "abe-redis-bundle"\n'
        f'version = "{metadata["Version"]}"\n'
        f'requires-python = "{metadata["Requires-Python"]}"\n'
        'dependencies = ["abe-redis"]\n\n'
        "[tool.uv]\n"
        "package = false\n\n"
        "[tool.uv.sources]\n"
        f'abe-redis = {{ path = "{wheel}" }}\n'
    )


def manifest(metadata: Message) -> dict[str, object]:
    """What the client shows and asks the user before it starts the server."""
    variables = SERVER["packages"][0]["environmentVariables"]
    return {
        "manifest_version": "0.4",
        "name": metadata["Name"],
        "display_name": SERVER["title"],
        "version": metadata["Version"],
        "description": metadata["Summary"],
        "long_description": LONG_DESCRIPTION,
        "author": {"name": "The contributors to abe-redis"},
        "repository": {"type": "git", "url": f"{REPOSITORY}.git"},
        "homepage": REPOSITORY,
        "documentation": f"{DOCUMENTS}/agents.md",
        "support": f"{REPOSITORY}/issues",
        "icon": ICON.name,
        "screenshots": [SCREENSHOT.name],
        "privacy_policies": [f"{DOCUMENTS}/security.md#privacy"],
        "license": metadata["License-Expression"],
        "keywords": (metadata["Keywords"] or "").split(","),
        "server": {
            "type": "uv",
            "entry_point": "server.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", "server.py"],
                "env": {one["name"]: f"${{user_config.{one['name'].lower()}}}" for one in variables},
            },
        },
        "tools": anyio.run(tools),
        "prompts_generated": True,
        "user_config": {one["name"].lower(): asked(one) for one in variables},
        "compatibility": {
            "platforms": ["darwin", "linux", "win32"],
            "runtimes": {"python": metadata["Requires-Python"]},
        },
    }


def asked(variable: dict[str, object]) -> dict[str, object]:
    """What the user is asked for a variable; without a default, a client would hand on the placeholder."""
    boolean = variable.get("format") == "boolean"
    default = variable.get("default", "")
    return {
        "type": "boolean" if boolean else "string",
        "title": TITLES[str(variable["name"])],
        "description": variable["description"],
        "required": False,
        "sensitive": bool(variable.get("isSecret", False)),
        "default": default == "true" if boolean else default,
    }


async def tools() -> list[dict[str, str]]:
    """The server's tools."""

    async def never() -> Operations:
        raise ClosedError

    server = make_server(never, Permissions())
    return [{"name": tool.name, "description": tool.title} for tool in await server.list_tools()]


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]))}\n")

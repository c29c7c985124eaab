"""Pages of the reference, written from the code each time the site is built, so that they cannot drift."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from sphinx.application import Sphinx

import abe_redis
from abe_redis import Settings, cli
from abe_redis.cli.app import app as command_line
from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.server import make_server
from abe_redis.settings import described

NOTE = "<!-- written from the code by docs/_ext/reference.py -->\n"


def settings() -> str:
    """Every environment variable."""
    rows = []
    for name, field in Settings.model_fields.items():
        shown, bounds = described.default_of(field), described.bounds_of(field)
        words = [(field.description or "").replace("|", "\\|")]
        words += [] if not shown else [f"Default: `{shown}`."]
        words += [f"{bounds.capitalize()}."] if bounds else []
        rows.append(f"| `{name.upper()}` | {' '.join(words)} |")
    return (
        "# Settings\n\nEnvironment variables, or lines of `.env` in the working directory. A password is never "
        "shown or logged.\n\n| Variable | Meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    )


def commands() -> str:
    """Every command with its arguments and options."""
    with patch("typer.Typer.__call__"), suppress(SystemExit):
        cli.main()  # which puts the commands on the app
    root = typer.main.get_command(command_line)
    parts = [
        "# Command line\n\nExit codes: 0 done, also when the answer is empty; 1 it failed, or something that was "
        "named is not there, and the reason is on stderr; 2 the command line or a setting is wrong. "
        "`--json` prints JSON for scripts. `abe-redis --install-completion` completes commands and options in your "
        "shell. Options of `abe-redis` itself come before the command, as in "
        "`abe-redis --log-format json worker bot:handle`.\n",
        _options(root),
    ]
    parts += [_command(name, command) for name, command in sorted(_walk(root, "abe-redis"))]
    return "\n".join(parts)


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for each, inner in getattr(command, "commands", {}).items():
        yield f"{name} {each}", inner
        yield from _walk(inner, f"{name} {each}")


def _command(name: str, command: Any) -> str:
    arguments = " ".join(
        one.metavar or one.name.upper() for one in command.params if one.param_type_name == "argument"
    )
    help_text = (command.help or "").replace("Example: ", "Example: `")
    lines = [f"{line}`" if "Example: `" in line else line for line in help_text.splitlines()]
    body = "\n".join(lines)
    return f"## `{name}`\n\n```text\n{name} {arguments} [OPTIONS]\n```\n\n{body}\n\n{_options(command)}"


def _options(command: Any) -> str:
    rows = []
    for one in command.params:
        names = ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])
        if one.param_type_name == "argument":
            names = f"`{one.metavar or one.name.upper()}`"
        default = one.default
        shown = "" if default is None or default is False or callable(default) else f"`{default}`"
        envvar = f" Or `{one.envvar}`." if getattr(one, "envvar", None) else ""
        words = (getattr(one, "help", None) or "").replace("|", "\\|")
        rows.append(f"| {names} | {shown} | {words}{envvar} |")
    if not rows:
        return ""
    return "| | Default | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def tools() -> str:
    """Every MCP tool with its parameters, and what else the server offers."""

    async def nothing() -> Any:
        raise NotImplementedError

    server = make_server(nothing, Permissions())
    parts = [
        "# MCP tools\n\nWhat `abe-redis mcp` offers an agent; the words are those that the model reads.\n"
    ]
    for tool in asyncio.run(server.list_tools()):
        rows = [
            f"| `{name}` | {_type(schema)} | {'required' if name in tool.inputSchema.get('required', []) else ''} | "
            f"{schema.get('description', '').replace('|', chr(92) + '|')} |"
            for name, schema in tool.inputSchema["properties"].items()
        ]
        hints = ", ".join(
            words
            for words, hint in (
                ("changes nothing", tool.annotations.readOnlyHint),
                ("destructive", tool.annotations.destructiveHint),
                ("may be repeated", tool.annotations.idempotentHint),
            )
            if hint
        )
        parts.append(
            f"## `{tool.name}`\n\n{tool.title}{f' ({hints})' if hints else ''}.\n\n{tool.description}\n\n"
            "| Parameter | Type | | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    resources = asyncio.run(server.list_resources()), asyncio.run(server.list_resource_templates())
    parts.append("## Resources\n\n| URI | |\n|---|---|")
    parts += [f"| `{one.uri}` | {one.description} |" for one in resources[0]]
    parts += [f"| `{one.uriTemplate}` | {one.description} |" for one in resources[1]]
    parts.append("\n## Prompts\n\n| Name | |\n|---|---|")
    parts += [f"| `{one.name}` | {one.description} |" for one in asyncio.run(server.list_prompts())]
    return "\n".join(parts) + "\n"


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    return str(schema.get("type", "any"))


def python() -> str:
    """The public names."""
    parts = [
        "# API reference\n\nThe public names; each is imported from `abe_redis`, or from the module that is named. What "
        "they raise is in `abe_redis.errors`, and is an `AbeRedisError`.\n"
    ]
    for name in abe_redis.__all__:
        if name == "AbeRedisError":
            continue  # with the others, below
        found = getattr(abe_redis, name)
        kind = "autoclass" if isinstance(found, type) else "autofunction"
        members = "\n:members:\n:show-inheritance:" if kind == "autoclass" else ""
        home = f"{found.__module__}.{name}"
        parts.append(f"## `{name}`\n\n```{{eval-rst}}\n.. {kind}:: {home}{_indented(members)}\n```\n")
    parts.append(
        "## `abe_redis.bolt`\n\n```{eval-rst}\n.. autoclass:: abe_redis.slack.bolt.handler.BoltHandler\n   "
        ":members:\n```\n"
    )
    parts.append(
        "## `abe_redis.testing`\n\n```{eval-rst}\n.. automodule:: abe_redis.testing\n   :members:\n   "
        ":imported-members:\n```\n"
    )
    parts.append(
        "## `abe_redis.errors`\n\n```{eval-rst}\n.. automodule:: abe_redis.errors\n   :members:\n```\n"
    )
    return "\n".join(parts)


def _indented(lines: str) -> str:
    return lines.replace("\n", "\n   ")


PAGES = {"settings": settings, "commands": commands, "tools": tools, "python": python}


def write(app: Sphinx) -> None:
    """Write the pages, if they are not as they should be."""
    directory = Path(app.srcdir) / "reference"
    directory.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        path, text = directory / f"{name}.md", NOTE + page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def without_settings(*said: Any) -> None:
    """Leave the list of settings out of a class's description: they have a page of their own."""
    lines: list[str] = said[-1]
    if described.HEADING in lines:
        del lines[lines.index(described.HEADING) :]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("builder-inited", write)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", without_settings, priority=1)  # before others understand it
    return {"parallel_read_safe": True}

"""Refuses options of `abe-redis mcp` that look like limits and would limit nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from abe_redis.errors import SettingsError

_OF_HTTP = ("host", "port", "allow_host", "token", "idle_seconds", "oauth_issuer", "oauth_resource")
_OF_INSTALL = ("read_only", "env_file")
_VARIABLES = ("ABE_REDIS_MCP_READ_ONLY", "REDIS_STREAM_PATTERNS")
"""Variables that limit an agent; elsewhere an empty one counts as absent."""


def check(context: typer.Context, env_file: Path | None) -> None:
    """Refuse what would limit nothing: an empty value, or an option that has no effect.

    Raises:
        SettingsError: There is one; the sentence names it.
    """
    for name, value in _given(context).items():
        option = f"--{name.replace('_', '-')}"
        texts = value if isinstance(value, list) else [value]
        if name != "token" and any(isinstance(one, str) and not one.strip(", \t\r\n") for one in texts):
            raise SettingsError(
                f"{option} is empty, which would be no limit: give it a value, or leave it out. A variable "
                "of the command line may be missing."
            )
        if name in _OF_HTTP and not context.params["http"]:
            raise SettingsError(f"{option} has no effect without --http: add --http, or leave {option} out.")
    _check_variables(env_file)


def check_none(context: typer.Context) -> None:
    """Refuse options before a subcommand, which would register a server without them.

    Raises:
        SettingsError: There is one; the sentence names it.
    """
    for name in _given(context):
        option = "--no-publish" if name == "publish" else f"--{name.replace('_', '-')}"
        command = context.invoked_subcommand
        where = (
            f"give it behind {command}"
            if name in _OF_INSTALL
            else f"leave it out, and add it to the entry's arguments in the client's file after {command}"
        )
        raise SettingsError(f"{option} before {command} has no effect on what is registered: {where}.")


def _given(context: typer.Context) -> Mapping[str, Any]:
    """The options of the command line, with their values."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {
        name: context.params[name]
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }


def _check_variables(env_file: Path | None) -> None:
    from abe_redis.settings import variables  # noqa: PLC0415

    found = variables.read(env_file)
    for name in _VARIABLES:
        values = [source[name] for source in (found.exported, found.written) if name in source]
        if values and not any(value.strip() for value in values):
            raise SettingsError(
                f"{name} is empty, which would be no limit: give it a value, or remove the variable."
            )

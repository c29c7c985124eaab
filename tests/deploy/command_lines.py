"""What our own command line makes of arguments, and the variables that anybody reads."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import typer

from abe_redis import Settings

OTHERS = {
    # Slack MCP Server's, beside those that it shares with us
    "QUEUE_BACKEND",
    "SLACK_BOT_TOKEN",
    # deploy/bot.py's
    "SLACK_API_URL",
    # redis-cli's, the manifest's own (in Redis's command line) and Python's
    "REDISCLI_AUTH",
    "OBSERVER_PASSWORD",
    "PYTHONUNBUFFERED",
}


def _command() -> Any:
    for name in ("audit", "dead", "doctor", "listen", "mcp", "publish", "read", "stats", "worker"):
        import_module(f"abe_redis.cli.{name}")  # each puts its commands on the app
    return typer.main.get_command(import_module("abe_redis.cli.app").app)


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """The parameters of all commands that a command line names; an unknown option raises."""
    command = _command()
    context = command.make_context("abe-redis", list(arguments))
    parameters = dict(context.params)
    while rest := [*context._protected_args, *context.args]:
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        parameters |= context.params | {"command": name}
    return parameters


def variables() -> set[str]:
    """Every variable that somebody reads."""
    ours = {name.upper() for name in Settings.model_fields}
    return ours | OTHERS | set(_variables_of_options(_command()))


def _variables_of_options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        match parameter.envvar:
            case str(name):
                yield name
            case [*names]:
                yield from names
    for inner in getattr(command, "commands", {}).values():
        yield from _variables_of_options(inner)

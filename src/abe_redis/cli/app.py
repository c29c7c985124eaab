"""The application to which the commands are added, and the options that they share.

A command imports heavy modules only when it runs, because an MCP client waits for its first answer.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from abe_redis.cli.option_values import CheckedGroup
from abe_redis.errors import SettingsError
from abe_redis.observability.logs import LogFormat, set_up

if TYPE_CHECKING:
    from abe_redis.settings.variables import Variables

EVENTS, INSPECT, RUN, REPAIR = "Events", "Inspect", "Run", "Repair"
"""The sections of `--help`."""

app = typer.Typer(
    name="abe-redis",
    help="""Slack events through Redis Streams.

    Settings such as REDIS_URL come from the environment, and from .env in the working directory; the MCP
    server reads a file only with --env-file.

    Documentation: https://github.com/Chisanan232/abe-redis/tree/main/docs, with rules for alerts in its
    directory monitoring.

    Example: abe-redis demo

    Example: abe-redis doctor

    Example: abe-redis worker bot:handle --group workers
    """,
    cls=CheckedGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


_ORDER = (
    *("publish", "read", "ack", "release"),
    *("stats", "count", "top", "dashboard", "doctor", "audit"),
    *("worker", "listen", "demo", "erase"),
)
"""The commands as a newcomer meets them; the families, such as `dead`, come behind those of their section."""


def in_order(commands: typer.Typer) -> None:
    """Bring the commands of `--help` into an order that does not depend on what their modules are called."""
    places = {name: place for place, name in enumerate(_ORDER)}
    commands.registered_commands.sort(
        key=lambda one: places[str(one.name or getattr(one.callback, "__name__", ""))]
    )


def with_stream_option(commands: typer.Typer) -> None:
    """Let every command whose first argument is a stream have --stream, too, and check all options."""
    from abe_redis.cli.stream_option import WithStream  # noqa: PLC0415

    for family in (commands, *(one.typer_instance for one in commands.registered_groups)):
        for one in family.registered_commands if family else ():
            one.cls = WithStream


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        from abe_redis.cli.output import say  # noqa: PLC0415

        say(f"abe-redis {version('abe-redis')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more on stderr.")] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar="ABE_REDIS_LOG_FORMAT", help="Log text for people, or one JSON object per line."),
    ] = "text",
) -> None:
    """Set up logging for all commands."""
    del version
    if context.invoked_subcommand != "mcp" and is_default(context, "log_format") and Path(".env").is_file():
        from abe_redis.settings import variables  # noqa: PLC0415

        log_format = log_format_of(variables.read(".env"), log_format)
    set_up(log_format, logging.DEBUG if verbose else logging.WARNING)


def log_format_of(found: "Variables", given: LogFormat) -> LogFormat:
    """The format of the log that a file of variables names, else the given one.

    Raises:
        SettingsError: It names one that does not exist.
    """
    match found.of_file("ABE_REDIS_LOG_FORMAT"):
        case None:
            return given
        case "text" | "json" as named:
            return named
        case other:
            raise SettingsError(f"ABE_REDIS_LOG_FORMAT is {other!r}, but should be 'text' or 'json'.")


def is_default(context: Any, name: str) -> bool:  # noqa: ANN401 - a context of click, wherever typer has it
    """Whether neither the command line nor the environment has the option."""
    source = context.get_parameter_source(name)
    return source is None or source.name == "DEFAULT"

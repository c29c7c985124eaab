"""The application to which the commands are added, and the options that they share.

A command imports heavy modules only when it runs, because an MCP client waits for its first answer.
"""

import logging
from typing import Annotated

import typer

from abe_redis.observability.logs import LogFormat, set_up

EVENTS, INSPECT, RUN, REPAIR = "Events", "Inspect", "Run", "Repair"
"""The sections of `--help`."""

app = typer.Typer(
    name="abe-redis",
    help="""Slack events through Redis Streams.

    Settings such as REDIS_URL come from the environment, and from .env in the working directory.

    Example: abe-redis demo

    Example: abe-redis doctor

    Example: abe-redis worker bot:handle --group workers
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        from abe_redis.cli.common import say  # noqa: PLC0415

        say(f"abe-redis {version('abe-redis')}")
        raise typer.Exit


@app.callback()
def options(
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
    set_up(log_format, logging.DEBUG if verbose else logging.WARNING)

"""The application that commands are put on, and what they share.

Heavy imports wait until a command needs them: an MCP client waits for the first answer.
"""

import logging
from typing import Annotated

import typer

from abe_redis.observability.logs import LogFormat, set_up

EVENTS, WATCH, RUN, REPAIR = "Events", "See how it is", "Run", "Put right"
"""The parts of `--help`."""

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

        typer.echo(f"abe-redis {version('abe-redis')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar="ABE_REDIS_LOG_FORMAT", help="How to log: for people, or a JSON object a line."),
    ] = "text",
) -> None:
    """Set up what all commands share."""
    del version
    set_up(log_format, logging.DEBUG if verbose else logging.WARNING)

"""The application that commands are put on, what they share, and `mcp`.

Heavy imports wait until a command needs them: an MCP client waits for the first answer.
"""

import logging
import sys
from typing import Annotated

import anyio
import typer

app = typer.Typer(
    name="abe-redis",
    help="Slack events through Redis Streams. Settings come from the environment and from .env; see README.",
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
) -> None:
    """Set up what all commands share."""
    del version
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


@app.command()
def mcp(
    *,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Offer only the tools that change nothing.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish/--no-publish", help="Whether the agent may publish events.")
    ] = True,
    streams: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Comma separated names and patterns: of the streams that REDIS_STREAM_PATTERNS names, the "
            "agent sees only these.",
        ),
    ] = "",
    changes_per_minute: Annotated[
        int, typer.Option(help="How many calls that change something are carried out in a minute.", min=1)
    ] = 120,
    max_payload: Annotated[
        int,
        typer.Option(metavar="BYTES", help="How large an event the agent may publish.", min=100),
    ] = 256 * 1024,
) -> None:
    """Serve the queue to an LLM agent: MCP over stdin and stdout.

    Register it in Claude Desktop, Claude Code, Cursor or VS Code as the command
    `abe-redis mcp`, with REDIS_URL in its environment. What the agent changes is written
    into the stream abe:audit; `abe-redis audit` shows it.

    Example: abe-redis mcp --read-only

    Example: abe-redis mcp --no-publish --streams slack_events
    """
    from abe_redis.mcp.modes import Modes  # noqa: PLC0415
    from abe_redis.mcp.server import serve_stdio  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    settings = Settings()
    modes = Modes(
        read_only=read_only,
        publish=publish,
        streams=tuple(name for part in streams.split(",") if (name := part.strip())),
        changes_per_minute=changes_per_minute,
        payload_bytes=max_payload,
    )

    async def serve() -> None:
        await serve_stdio(settings, modes)

    anyio.run(serve)

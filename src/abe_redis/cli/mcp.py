"""mcp: serve agents; mcp install: register that with their programs."""

from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from abe_redis.cli.app import RUN, app
from abe_redis.cli.common import DryRun, MetricsHost, MetricsPort, Yes, confirm, exposed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from abe_redis.operations.operations import Operations

mcp = typer.Typer(name="mcp", invoke_without_command=True)
app.add_typer(mcp, rich_help_panel=RUN)


@mcp.callback()
def serve(
    context: typer.Context,
    *,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only",
            envvar="ABE_REDIS_MCP_READ_ONLY",
            show_envvar=True,
            help="Offer only the tools that change nothing.",
        ),
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
    http: Annotated[
        bool, typer.Option("--http", help="Serve over HTTP, at /mcp, instead of stdin and stdout.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="With --http: the port.", min=0, max=65_535)] = 8765,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="With --http: a name under which clients reach it, as behind a proxy."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ABE_REDIS_MCP_TOKEN",
            show_envvar=True,
            help="With --http: what clients must send as a bearer token. Needed for any address but this "
            "machine's own. Set the variable: what stands in a command line can be seen by others.",
        ),
    ] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Serve the queue to LLM agents: MCP over stdin and stdout, or over HTTP.

    `abe-redis mcp install` registers it in Claude Desktop, Claude Code, Cursor or VS Code. What the
    agent changes is written into the stream abe:audit; `abe-redis audit` shows it.

    Example: abe-redis mcp --read-only

    Example: abe-redis mcp --no-publish --streams slack_events

    Example: abe-redis mcp --http --port 8765
    """
    if context.invoked_subcommand is not None:
        return
    from abe_redis.mcp.permissions import Permissions  # noqa: PLC0415
    from abe_redis.mcp.server import serve_http, serve_stdio  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    settings = Settings()
    permissions = Permissions(
        read_only=read_only,
        publish=publish,
        streams=tuple(name for part in streams.split(",") if (name := part.strip())),
        changes_per_minute=changes_per_minute,
        payload_bytes=max_payload,
    )

    def beside(operations: "Callable[[], Awaitable[Operations]]") -> AbstractAsyncContextManager[None]:
        return exposed(metrics_host, metrics_port, operations)

    if not http:
        anyio.run(serve_stdio, settings, permissions, beside)
        return
    from abe_redis.mcp.http import Address  # noqa: PLC0415
    from abe_redis.runtime.web import listen  # noqa: PLC0415

    address = Address(host, port, token or None, tuple(allow_host or ()))
    with listen(host, port) as listening:
        typer.echo(f"Serving on http://{host}:{listening.getsockname()[1]}/mcp", err=True)
        anyio.run(serve_http, settings, permissions, address, listening, beside)


class Client(StrEnum):
    """The programs that we can register with."""

    CLAUDE_DESKTOP = "claude-desktop"
    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"


@mcp.command()
def install(
    client: Annotated[
        Client,
        typer.Option(
            "--client",
            help="Which program. Claude Desktop and Cursor are set up for you; Claude Code and VS Code for "
            "the project in the working directory.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option(help="What the server is called there.")] = "abe-redis",
    file: Annotated[
        Path | None, typer.Option(help="The program's file, if it is not where it usually is.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Register `abe-redis mcp --read-only`.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Register `abe-redis mcp` with a program that runs agents.

    It adds an entry to the program's JSON file, with REDIS_URL as it is set here, and leaves everything
    else in the file as it is: comments, line ends, and what you added to the entry. It shows the difference
    first, with *** for values that may be secrets, asks, and keeps a copy of the old file beside it. Doing
    it again changes nothing. A password is never written: set it in the program itself.

    Example: abe-redis mcp install --client cursor --dry-run
    """
    from abe_redis.mcp.install.programs import Registration, path_of  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    settings = Settings()
    registration = Registration.of(
        file or path_of(client.value), client.value, name, settings, ["--read-only"] if read_only else []
    )
    if not registration.difference:
        typer.echo(f"{name!r} is registered in {registration.path} already; nothing was changed.")
        return
    typer.echo(registration.difference)
    for warning in registration.warnings:
        typer.echo(warning, err=True)
    if dry_run:
        return
    confirm(f"Change {registration.path}?", yes=yes)
    backup = registration.write()
    kept = f" The old one is {backup}." if backup else ""
    typer.echo(f"Changed {registration.path}.{kept} Restart {client.value} to see it.")

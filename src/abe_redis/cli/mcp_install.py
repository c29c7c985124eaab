"""mcp install: register the MCP server with an MCP client."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from abe_redis.cli.common import DryRun, Yes, confirm
from abe_redis.cli.mcp import mcp, warn_of_a_file_that_is_not_read
from abe_redis.cli.output import say
from abe_redis.errors import InvalidArgumentError


class McpClient(StrEnum):
    """The MCP clients with which the server can be registered."""

    CLAUDE_DESKTOP = "claude-desktop"
    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"


_TITLES = {
    McpClient.CLAUDE_DESKTOP: "Claude Desktop",
    McpClient.CLAUDE_CODE: "Claude Code",
    McpClient.CURSOR: "Cursor",
    McpClient.VSCODE: "VS Code",
}


@mcp.command()
def install(
    client: Annotated[
        McpClient,
        typer.Option(
            "--client",
            help="The MCP client. Claude Desktop and Cursor get it for your user; Claude Code and VS Code "
            "for the project in the working directory.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option(help="The name of the server in that client.")] = "abe-redis",
    file: Annotated[
        Path | None, typer.Option(help="The client's configuration file, if it is not at the usual place.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Register `abe-redis mcp --read-only`.")
    ] = False,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            help="Register `abe-redis mcp --env-file FILE`. Without it no file counts, not even .env here.",
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Give an entry that is there the options of this command in place of its own, and the "
            "variables of this environment. With --yes, nothing else lets an agent do more.",
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Register `abe-redis mcp` with an MCP client.

    It adds an entry to the client's JSON file, with REDIS_URL and every other setting of this environment
    that is no secret, and says what it leaves out. If FILE of --env-file sets REDIS_URL, the entry leaves
    that and the credentials to it. An entry that is there keeps its options and variables;
    only REDIS_URL, the command's path and what an option names here change. Everything else in the file stays
    as it is, comments and line ends, too.

    It first shows the difference, with *** for values that may be secrets, and names what would let an agent
    do more than before; then it asks, and keeps a copy of the old file. A second run changes nothing.

    Example: abe-redis mcp install --client cursor --dry-run
    """
    from abe_redis.mcp.install.named_file import NamedFile  # noqa: PLC0415
    from abe_redis.mcp.install.programs import Registration, path_of  # noqa: PLC0415
    from abe_redis.settings import Settings, variables  # noqa: PLC0415

    options = ["--read-only"] if read_only else []
    if env_file is not None:
        variables.read(env_file, required=True)
        options += ["--env-file", str(env_file.expanduser().resolve())]
    settings = Settings(_env_file=env_file, **NamedFile.of(options).arguments())
    warn_of_a_file_that_is_not_read(env_file)
    path = file or path_of(client.value)
    registration = Registration.of(path, client.value, name, settings, options, anew=replace)
    for warning in registration.warnings:
        say(warning, to_stderr=True)
    if not registration.difference:
        say(f"{name!r} is already registered in {registration.path}; nothing was changed.")
        return
    say(registration.difference)
    for sentence in registration.widens:
        say(sentence, to_stderr=True)
    if dry_run:
        return
    if yes and registration.widens and not replace:
        raise InvalidArgumentError(
            "Nothing was changed: --yes does not agree to what lets an agent do more. Run it without --yes "
            "and answer, or give --replace with every option that the entry shall have."
        )
    confirm(f"Change {registration.path}?", yes=yes)
    backup = registration.write()
    kept = f" The old file is {backup}." if backup else ""
    say(f"Changed {registration.path}.{kept} Restart {_TITLES[client]} to see it.")

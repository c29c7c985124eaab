"""mcp: serve agents."""

import logging
import os
import shutil
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, override

import anyio
import typer

from abe_redis.cli.app import RUN, app, is_default, log_format_of
from abe_redis.cli.common import LOCAL, MetricsHost, MetricsPort, exposed
from abe_redis.cli.mcp_limits import check, check_none
from abe_redis.cli.option_values import CheckedGroup
from abe_redis.cli.output import say
from abe_redis.errors import SettingsError
from abe_redis.runtime.collector import idle_during_imports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from abe_redis.operations.operations import Operations

_LOG = logging.getLogger(__name__)


def _read_options(context: typer.Context, file: Path | None) -> Path | None:
    """Take this command's variables from the file; those of the environment and options win."""
    if file is not None:
        from abe_redis.settings import variables  # noqa: PLC0415

        found = variables.read(file, required=True)
        named = {
            "read_only": "ABE_REDIS_MCP_READ_ONLY",
            "structured": "ABE_REDIS_MCP_STRUCTURED",
            "token": "ABE_REDIS_MCP_TOKEN",
        }
        # An empty token is one that somebody meant to set.
        options = {option: found.written.get(name) for option, name in named.items()}
        context.default_map = {
            **(context.default_map or {}),
            **{
                option: value
                for option, value in options.items()
                if value or (option, value) == ("token", "")
            },
        }
    return file


_WIDE = 100
"""Columns that the table of `--help` needs; in fewer it would cut names of options and variables."""


class _LegibleWhenNarrow(CheckedGroup):
    """Long names of options leave a table no room at 80 columns; the list without frames has it."""

    @override
    def format_help(self, ctx: Any, formatter: Any) -> None:
        if shutil.get_terminal_size().columns < _WIDE:
            self.rich_markup_mode = None
        super().format_help(ctx, formatter)


mcp = typer.Typer(name="mcp", invoke_without_command=True, cls=_LegibleWhenNarrow)
app.add_typer(mcp, rich_help_panel=RUN)


@mcp.callback()
def serve(
    context: typer.Context,
    *,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            is_eager=True,
            callback=_read_options,
            help="A file with variables that the environment lacks, NAME=value on each line. Without this "
            "option the server reads no file, not even .env: a client may start it in anybody's directory.",
        ),
    ] = None,
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
        bool, typer.Option("--publish/--no-publish", help="Allow the agent to publish events, or not.")
    ] = True,
    streams: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Names and patterns, separated by commas. The agent sees only these of the streams that "
            "REDIS_STREAM_PATTERNS names; one that none of them matches is an error.",
        ),
    ] = "",
    groups: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="The consumer groups, separated by commas, in which the agent may lease and finish events, "
            "and to which it may redrive. Over HTTP only 'agents' by default, else every group that exists; "
            "'*' stands for those.",
        ),
    ] = "",
    create_groups: Annotated[
        bool,
        typer.Option(
            "--create-groups",
            help="Allow the agent to make groups on streams that have others. A new group keeps history.",
        ),
    ] = False,
    changes_per_minute: Annotated[
        int, typer.Option(help="Most calls per minute that change something.", min=1)
    ] = 120,
    events_per_minute: Annotated[
        int, typer.Option(help="Most events per minute that are leased, published or redriven.", min=1)
    ] = 1200,
    bytes_per_minute: Annotated[
        int,
        typer.Option(metavar="BYTES", help="Most bytes of events per minute that are published.", min=100),
    ] = 8 * 1024 * 1024,
    max_delay: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Longest time for which the agent may postpone an event.",
            min=0,
            max=604_800,
        ),
    ] = 3600,
    max_payload: Annotated[
        int,
        typer.Option(metavar="BYTES", help="Largest event that the agent may publish.", min=100),
    ] = 256 * 1024,
    structured: Annotated[
        bool,
        typer.Option(
            "--structured",
            envvar="ABE_REDIS_MCP_STRUCTURED",
            show_envvar=True,
            help="For programs: add a structure to answers with people's words; its fields with such words "
            "are named untrusted_….",
        ),
    ] = False,
    trusted_users: Annotated[
        str,
        typer.Option(
            metavar="IDS",
            help="Users, separated by commas. The agent reads only their words; of other users it sees only "
            "who wrote, where and how much.",
        ),
    ] = "",
    trusted_channels: Annotated[
        str, typer.Option(metavar="IDS", help="Channels whose words the agent reads, whoever wrote them.")
    ] = "",
    http: Annotated[
        bool, typer.Option("--http", help="Serve over HTTP, at /mcp, instead of stdin and stdout.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = LOCAL,
    port: Annotated[int, typer.Option(help="With --http: the port.", min=0, max=65_535)] = 8765,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="With --http: another host name under which clients reach the server, such as a proxy's."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ABE_REDIS_MCP_TOKEN",
            show_envvar=True,
            help="With --http: the bearer token that clients must send. It is required unless the address "
            "and every --allow-host are this machine's own. Set the variable: other users can see a command "
            "line.",
        ),
    ] = None,
    idle_seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="With --http: a client's session in which it asks for nothing ends after this time, and its "
            "leases are given back.",
            min=1,
            max=1800,
        ),
    ] = 1800,
    oauth_issuer: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="With --http: the authorization server whose tokens clients send, in place of one bearer "
            "token. Their scopes say what each may do: read, work, redrive, publish.",
        ),
    ] = None,
    oauth_resource: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="With --oauth-issuer: the URL of this server as clients know it, such as "
            "https://mcp.example.com/mcp. A token must name it as its audience.",
        ),
    ] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCAL,
) -> None:
    """Serve the queue to LLM agents: MCP over stdin and stdout, or over HTTP.

    `abe-redis mcp install` registers it in Claude Desktop, Claude Code, Cursor or VS Code. The server
    records every change that the agent makes in the stream abe:audit; `abe-redis audit` shows it.

    Example: abe-redis mcp --read-only

    Example: abe-redis mcp --no-publish --streams slack_events

    Example: abe-redis mcp --http --port 8765

    Example: abe-redis mcp --http --groups agents,bot

    Example: abe-redis mcp --env-file /etc/abe-redis/mcp.env
    """
    if context.invoked_subcommand is not None:
        check_none(context)
        return
    check(context, env_file)
    with idle_during_imports():
        from abe_redis.mcp.permissions import Permissions  # noqa: PLC0415
        from abe_redis.mcp.server import serve_http, serve_stdio  # noqa: PLC0415
        from abe_redis.mcp.trust import Trust  # noqa: PLC0415
        from abe_redis.schemas.stats import AGENTS  # noqa: PLC0415
        from abe_redis.settings import Settings  # noqa: PLC0415
        from abe_redis.streams.patterns import Patterns, check_reach  # noqa: PLC0415

    if env_file is not None:
        _log_as_the_file_says(context, env_file)
    settings = Settings(_env_file=env_file, _strict=True)
    warn_of_a_file_that_is_not_read(env_file)
    every = Patterns(settings.patterns, partitions=settings.redis_stream_partitions)
    check_reach(every, _names(streams))
    chosen = _names(groups) or ((AGENTS,) if http else ())
    permissions = Permissions(
        read_only=read_only,
        publish=publish,
        streams=_names(streams),
        groups=() if "*" in chosen else chosen,
        create_groups=create_groups,
        own_group=settings.redis_stream_group,
        changes_per_minute=changes_per_minute,
        events_per_minute=events_per_minute,
        bytes_per_minute=bytes_per_minute,
        payload_bytes=max_payload,
        max_delay_seconds=max_delay,
        structured=structured,
        trust=Trust(frozenset(_names(trusted_users)), frozenset(_names(trusted_channels))),
    )

    def beside(operations: "Callable[[], Awaitable[Operations]]") -> AbstractAsyncContextManager[None]:
        return exposed(metrics_host, metrics_port, operations)

    if not http:
        anyio.run(serve_stdio, settings, permissions, beside)
        return
    from abe_redis.mcp.http import HttpEndpoint  # noqa: PLC0415
    from abe_redis.mcp.oauth import OAuth  # noqa: PLC0415
    from abe_redis.runtime.web import listen  # noqa: PLC0415

    # An empty variable is not the same as none: whoever set it believes that there is a token.
    token = os.environ.get("ABE_REDIS_MCP_TOKEN") if token is None else token
    token = None if token is None else token.strip()  # a secret of a file ends with a line feed
    if (oauth_issuer is None) != (oauth_resource is None):
        raise SettingsError("--oauth-issuer and --oauth-resource belong together: give both, or none.")
    oauth = OAuth(oauth_issuer, oauth_resource) if oauth_issuer and oauth_resource else None
    address = HttpEndpoint(host, port, token, tuple(allow_host or ()), idle_seconds, oauth)
    with listen(host, port) as listening:
        say(f"Serving on http://{host}:{listening.getsockname()[1]}/mcp", to_stderr=True)
        anyio.run(serve_http, settings, permissions, address, listening, beside)


def _log_as_the_file_says(context: typer.Context, file: Path) -> None:
    from abe_redis.observability.logs import set_up  # noqa: PLC0415
    from abe_redis.settings import variables  # noqa: PLC0415

    options = context.parent.params if context.parent else {}
    if context.parent is not None and is_default(context.parent, "log_format"):
        log_format = log_format_of(variables.read(file, required=True), "text")
        set_up(log_format, logging.DEBUG if options.get("verbose") else logging.WARNING, again=True)


def warn_of_a_file_that_is_not_read(env_file: Path | None) -> None:
    """Name what .env sets here, if that is not read: whoever wrote it may believe that it counts."""
    from abe_redis.settings import Settings, variables  # noqa: PLC0415

    try:
        names = [] if env_file else variables.ours(variables.read(".env"), Settings.model_fields)
    except SettingsError:
        names = [".env cannot be read"]
    if names:
        _LOG.warning(
            "The MCP server does not read .env, which sets %s here. Give --env-file .env if it is yours.",
            ", ".join(names),
        )


def _names(given: str) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return tuple(name for part in given.split(",") if (name := part.strip()))

"""listen: receive from Slack itself, over HTTP or Socket Mode."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from abe_redis.cli.app import RUN, app
from abe_redis.cli.common import LOCAL, MetricsHost, MetricsPort, exposed, operations_of
from abe_redis.cli.handlers import find
from abe_redis.cli.left_threads import leave_threads_behind
from abe_redis.cli.output import say
from abe_redis.errors import SettingsError
from abe_redis.runtime.extras import how_to_install

if TYPE_CHECKING:
    from abe_redis.backend import RedisMessageQueueBackend
    from abe_redis.settings import Settings
    from abe_redis.slack.receiver import LiveApp, Receiver

_LOG = logging.getLogger(__name__)

_HEALTH = "/healthz"
_HEAD_SECONDS = 10.0
"""Time for the head of a request; Slack sends it at once."""
_LISTENER = "A listener of the Bolt app"


@app.command(rich_help_panel=RUN)
def listen(
    bolt_app: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:APP",
            help="A Bolt app, such as bot:app, that answers at once what cannot be queued (see --inline). "
            "The rest is queued, for `abe-redis worker`.",
            show_default=False,
        ),
    ] = None,
    *,
    over_http: Annotated[
        bool,
        typer.Option("--http", help="Receive requests: the Events API, interactivity and slash commands."),
    ] = False,
    over_socket: Annotated[
        bool, typer.Option("--socket", help="Receive by Socket Mode, which needs no public address.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = LOCAL,
    port: Annotated[
        int, typer.Option(help="With --http: the port; 0 chooses a free one.", min=0, max=65_535)
    ] = 3000,
    path: Annotated[
        str,
        typer.Option(help="With --http: the path of all the request URLs of your Slack app."),
    ] = "/slack/events",
    connections: Annotated[
        int,
        typer.Option(
            help="With --socket: connections to keep open. Slack allows 10, and sends each event to one.",
            min=1,
            max=10,
        ),
    ] = 1,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=STREAM",
            help="The stream for events, actions, commands, shortcuts or views, as in actions=slack:buttons; "
            "or a stream alone, for everything. Give it once for each.",
            show_default=False,
        ),
    ] = None,
    inline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[:NAME]",
            help="With MODULE:APP: what the app answers at once, as in shortcut, slash_command:/ticket or "
            "block_actions:open_form. By default view_submission, dialog_submission, block_suggestion and "
            "dialog_suggestion; those stay, whatever is added.",
            show_default=False,
        ),
    ] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCAL,
    api_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="With --socket: where Slack's Web API is. A test names a FakeSlack's api_url.",
        ),
    ] = "https://slack.com/api/",
) -> None:
    """Receive from Slack, and answer only when Redis has the event.

    While Redis is away, what Slack sends is refused. Slack sends an event again at once, after one minute and
    after five; one that was queued meanwhile is not queued twice. It sends nothing else again: who used a
    command, a button, a shortcut or a form sees an error. REDIS_OUTBOX keeps all of it here instead.

    Events go to SLACK_EVENTS_TOPIC, the rest to slack:actions, slack:commands, slack:shortcuts and
    slack:views (see --queue). Handlers find how an event came in its attribute `arrival`.

    --http needs SLACK_SIGNING_SECRET, and refuses what is not signed with it. --socket needs SLACK_APP_TOKEN
    and the extra `bolt`.

    At SIGTERM, SIGHUP (a closed terminal) or Ctrl-C it takes no more, finishes what has come, and ends. For a
    deploy, start the new one first.

    Exit code: 0 after a signal, 1 when it failed, 2 when the command line or a setting is wrong.

    Example: abe-redis listen --http --port 3000

    Example: abe-redis listen --http bot:app --inline shortcut

    Example: abe-redis listen --socket --connections 2
    """
    # Import our own modules first, so that no file in the bot's directory shadows them.
    from abe_redis.backend import RedisMessageQueueBackend  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415
    from abe_redis.slack.queues import Queues  # noqa: PLC0415
    from abe_redis.slack.receiver import Receiver  # noqa: PLC0415

    if over_http == over_socket:
        raise SettingsError("Choose a door: --http or --socket. For both, run two processes.")
    ours = logging.getLogger("abe_redis")
    if ours.getEffectiveLevel() > logging.INFO:
        ours.setLevel(logging.INFO)
    settings = Settings()
    queues = Queues.chosen(settings, queue or ())
    if over_socket and not re.fullmatch(r"https?://[^\s/]\S*", api_url):
        raise SettingsError(f"--api-url is {api_url!r}; it must be a URL, as in https://slack.com/api/.")
    _check_outbox(settings)
    live = _live(bolt_app, inline or [])
    backend = RedisMessageQueueBackend(settings)
    receiver = Receiver(backend, queues, live, conversation=settings.redis_stream_conversation)
    metrics = _Metrics(metrics_host, metrics_port)
    with suppress(KeyboardInterrupt):  # Ctrl-C on Windows
        if over_http:
            _listen_to_requests(backend, receiver, settings, metrics, host=host, port=port, path=path)
        else:
            _listen_to_sockets(backend, receiver, settings, metrics, connections=connections, api_url=api_url)


def _check_outbox(settings: "Settings") -> None:
    """Refuse to start with an outbox that cannot work; a full disk passes, and does not keep Slack out."""
    from abe_redis.errors import OutboxError, OutboxFullError  # noqa: PLC0415
    from abe_redis.publishing.outbox_file import check  # noqa: PLC0415

    if settings.redis_outbox is None:
        return
    try:
        check(settings.redis_outbox)
    except OutboxFullError as error:
        _LOG.warning("%s", error)
    except OutboxError as error:
        raise SettingsError(str(error)) from None


@contextmanager
def _counted() -> Iterator[None]:
    """Log at the end how many requests came: counts and reasons, no payload."""
    from abe_redis.observability.hooks import observed  # noqa: PLC0415
    from abe_redis.slack.tally import Tally  # noqa: PLC0415

    tally = Tally()
    try:
        with observed(tally):
            yield
    finally:
        _LOG.info("The door is closed; %s.", tally)


def _say_that_it_listens(where: str, receiver: "Receiver") -> None:
    say(f"Listening to Slack {where} (Ctrl-C ends it).")
    _LOG.info("The door is open; what Slack sends goes to %s.", receiver.queues)


class _Metrics:
    """Where the metrics are shown, if anywhere."""

    def __init__(self, host: str, port: int | None) -> None:
        self.host = host
        self.port = port


def _listen_to_requests(
    backend: "RedisMessageQueueBackend",
    receiver: "Receiver",
    settings: "Settings",
    metrics: _Metrics,
    *,
    host: str,
    port: int,
    path: str,
) -> None:
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import PlainTextResponse, Response  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    from abe_redis.runtime import shared_loop  # noqa: PLC0415
    from abe_redis.runtime.web import listen as listening_at  # noqa: PLC0415
    from abe_redis.runtime.web import serve  # noqa: PLC0415
    from abe_redis.slack.http import SlackDoor  # noqa: PLC0415
    from abe_redis.slack.signatures import secrets_of  # noqa: PLC0415

    if not re.fullmatch(r"/[^\s?#{}]*", path) or path == _HEALTH:
        raise SettingsError(
            f"--path is {path!r}; it must begin with / as in /slack/events, and not be /healthz."
        )
    door = SlackDoor(receiver, secrets_of(settings))

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    routed = Starlette(routes=[Route(_HEALTH, healthz), Route(path, door)])

    async def run() -> None:
        shared_loop.keep_running()
        async with backend, exposed(metrics.host, metrics.port, operations_of(backend)):
            await serve(routed, listening, head_seconds=_HEAD_SECONDS, on_ready=tell)
            await receiver.finish()
        leave_threads_behind(_LISTENER)

    def tell() -> None:
        url = f"http://{host}:{listening.getsockname()[1]}{path}"
        _say_that_it_listens(f"at {url}", receiver)

    with listening_at(host, port) as listening, _counted():
        anyio.run(run)


def _listen_to_sockets(
    backend: "RedisMessageQueueBackend",
    receiver: "Receiver",
    settings: "Settings",
    metrics: _Metrics,
    *,
    connections: int,
    api_url: str,
) -> None:
    from abe_redis.runtime import shared_loop  # noqa: PLC0415
    from abe_redis.runtime.signals import on_signal  # noqa: PLC0415

    try:
        from abe_redis.slack.socket_mode import SocketDoor, app_token  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--socket needs {error.name!r}, which is not installed: {how_to_install('bolt')}"
        ) from None

    def tell() -> None:
        count = f"{connections} connection{'s' * (connections > 1)}"
        _say_that_it_listens(f"by Socket Mode, over {count}", receiver)

    door = SocketDoor(receiver, app_token(settings), connections=connections, api_url=api_url, on_ready=tell)

    async def end(_: int) -> None:
        door.shutdown()

    async def run() -> None:
        shared_loop.keep_running()
        async with (
            backend,
            exposed(metrics.host, metrics.port, operations_of(backend), health=door.health),
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(on_signal, end)
            await door.run()
            await receiver.finish()
            tasks.cancel_scope.cancel()
        leave_threads_behind(_LISTENER)

    with _counted():
        anyio.run(run)


def _live(spec: str | None, inline: list[str]) -> "LiveApp | None":
    if spec is None:
        if inline:
            raise SettingsError("--inline says what a Bolt app answers: name the app, as in bot:app.")
        return None
    from abe_redis.slack.inline import BoltAnswers  # noqa: PLC0415

    return BoltAnswers.of(find(spec), spec, inline)

"""worker: run a bot's handler in production."""

import logging
import os
import sys
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

import anyio
import anyio.abc
import typer

from abe_redis.cli.app import RUN, app
from abe_redis.cli.common import LOCAL, MetricsHost, MetricsPort, exposed, operations_of
from abe_redis.cli.handlers import find, ready_to_call
from abe_redis.cli.left_threads import leave_threads_behind
from abe_redis.errors import SettingsError
from abe_redis.runtime.collector import idle_during_imports
from abe_redis.worker.until_signal import PATIENCE_SECONDS, run_until_signal

if TYPE_CHECKING:
    from abe_redis.backend import RedisMessageQueueBackend

_LOG = logging.getLogger(__name__)


@app.command(rich_help_panel=RUN)
def worker(
    handler: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:HANDLER",
            help="The handler, such as bot:handle for the function handle in bot.py, or bot:app for a Bolt "
            "app. The working directory is the first place where MODULE is searched.",
            show_default=False,
        ),
    ],
    *,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            "-g",
            help="The consumer group; by default REDIS_STREAM_GROUP. Each event goes to one worker of a "
            "group, and to every group. A new group begins at the oldest event; to begin at the end, make it "
            "first: `abe-redis group create STREAM GROUP --from now`.",
        ),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            "--stream",
            "-s",
            help="Handle only the events of this stream and its partitions, or of those that match a pattern "
            "such as 'slack:*'; by default of all that REDIS_STREAM_PATTERNS names. Give it once for each. "
            "Ordered workers of a group need the same ones.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            "-c",
            help="Number of events that are handled at the same time. Raise it for a handler that mostly "
            "waits, for Slack or for a model.",
            min=1,
        ),
    ] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which a handler is cancelled, which counts as a failure. (A function in a "
            "thread cannot be stopped: the log names it, and it keeps its place among the --concurrency "
            "until it ends. Its result counts if it ends within REDIS_STREAM_MAX_HANDLING_SECONDS; after "
            "them its event is delivered again.) By default there is no limit.",
            min=0.001,
        ),
    ] = None,
    view: Annotated[
        Literal["event", "envelope"] | None,
        typer.Option(
            help="What the handler gets: the Slack event alone, as Slack MCP Server's handlers need it, or "
            "the whole payload with Slack's envelope. Both have id, stream, group, deliveries and origin as "
            "attributes. By default the event; a Bolt app always gets the envelope.",
            show_default=False,
        ),
    ] = None,
    ordered: Annotated[
        bool,
        typer.Option(
            "--ordered",
            help="Handle the events of a conversation (a Slack channel) in a topic one at a time, in the "
            "order in which they were published, across all workers; other conversations go on meanwhile. "
            "All workers of the group need it. For one order over messages, commands and buttons, "
            "listen with --queue slack:all.",
        ),
    ] = False,
    refuse_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Bury events of this origin instead of handling them: `mcp` is what an agent "
            "published, `cli` what a command did. Give it once for each; by default none is refused.",
            show_default=False,
        ),
    ] = None,
    respond_to: Annotated[
        str | None,
        typer.Option(
            metavar="STREAM",
            help="A stream to which each result of the handler is published, unless it is None. The worker "
            "must not read that stream itself. By default results are dropped.",
        ),
    ] = None,
    drain: Annotated[
        float,
        typer.Option(
            help="Seconds that running handlers get to end after SIGTERM or Ctrl-C; then they are cancelled "
            "and their events are given back. Keep it some seconds shorter than the time your supervisor "
            "waits before SIGKILL: 30 seconds in Kubernetes, 10 in Docker.",
            min=0,
        ),
    ] = 25,
    retry_first: Annotated[
        float,
        typer.Option(
            help="Seconds before an event is delivered again after its first failure. The delay doubles with "
            "each further failure; chance shortens it by up to half, and a worker looks for due events about "
            "once a second.",
            min=0,
        ),
    ] = 1,
    retry_most: Annotated[
        float,
        typer.Option(help="Longest such delay, in seconds.", min=0),
    ] = 300,
    slack_error: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE=MEANING",
            help="What an error of Slack's Web API means, as in not_in_channel=retry: `bury` at once, "
            "`retry` as any failure, or `wait` as long as Retry-After says, uncounted. Give it once for "
            "each; docs/bolt.md has the errors that are known.",
            show_default=False,
        ),
    ] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCAL,
) -> None:
    """Run a bot's handler on the events of a group, until SIGTERM or Ctrl-C.

    The handler is a coroutine function; a function, which runs in a thread; an object with `handle_event`; a
    class of such objects; or a Bolt app (App or AsyncApp), whose listeners may fail as handlers do. Slack MCP
    Server's `DecoratorHandler` is an object with `handle_event`, but it swallows the exceptions of its
    functions, so their events count as handled.

    When it returns, the event is acknowledged. When it raises, the event is delivered again after a growing
    delay, and after REDIS_STREAM_MAX_DELIVERIES deliveries it moves to the dead letters, with the reason.
    When the process dies, another worker gets the event after REDIS_STREAM_LEASE_SECONDS.

    At SIGTERM, SIGHUP (a closed terminal) or Ctrl-C it takes no more events and lets running handlers end
    (see --drain). At a second signal it cancels them, gives their events back, and ends.

    Exit code: 0 after a signal, 1 when the worker failed, 2 when the command line or a setting is wrong.

    Example: abe-redis worker bot:handle --group workers --concurrency 8

    Example: abe-redis worker bot:handle --group workers --stream slack_events

    Example: abe-redis worker bot:handle --group workers --concurrency 8 --ordered

    Example: abe-redis worker bot:handle --group workers --refuse-origin mcp

    Example: abe-redis worker bot:app.on_event --view envelope --timeout 60 --drain 8

    Example: abe-redis worker bolt_app:app --group workers --concurrency 8
    """
    # Import our own modules first, so that no file in the bot's directory shadows them.
    with idle_during_imports():
        from abe_redis.backend import RedisMessageQueueBackend  # noqa: PLC0415
        from abe_redis.events.view import slack_event  # noqa: PLC0415
        from abe_redis.runtime import collector, shared_loop  # noqa: PLC0415
        from abe_redis.settings import Settings  # noqa: PLC0415
        from abe_redis.streams.patterns import Patterns, check_one_stream, narrowed  # noqa: PLC0415
        from abe_redis.worker.event_worker import EventWorker  # noqa: PLC0415
        from abe_redis.worker.handlers import needs_envelope  # noqa: PLC0415
        from abe_redis.worker.retry import Backoff  # noqa: PLC0415
        from abe_redis.worker.slack_errors import meanings  # noqa: PLC0415

    _log_what_the_worker_does()
    settings = Settings()
    patterns = narrowed(Patterns(settings.patterns), stream or ())
    if respond_to is not None and patterns.match(check_one_stream(respond_to, "--respond-to")):
        raise SettingsError(
            f"--respond-to names {respond_to!r}, which this worker reads itself: every answer would come "
            f"back to the handler. Name a stream that is not among {patterns}."
        )
    if retry_first > retry_most:
        raise SettingsError(
            f"--retry-first is {retry_first:g} s, longer than --retry-most, {retry_most:g} s: raise that "
            "one, too, or wait less after the first failure."
        )
    policy = Backoff(first=retry_first, most=retry_most, slack_errors=meanings(slack_error or ()))
    uvloop = find_spec("uvloop") is not None
    found = find(handler)
    collector.set_for_a_worker()

    async def work() -> None:
        shared_loop.keep_running()
        # Within the event loop, because the bot's object may create something that needs one.
        handle = ready_to_call(found, handler)
        whole = needs_envelope(handle)
        if whole and view == "event":
            raise SettingsError(
                f"{handler!r} is a Bolt app, which needs the envelope as Slack posted it. Leave out "
                "--view event."
            )
        async with RedisMessageQueueBackend(settings, streams=stream or ()) as backend:
            worker = EventWorker(
                backend,
                handle,
                group=group,
                concurrency=concurrency,
                policy=policy,
                handler_timeout=timeout,
                view=None if whole or view == "envelope" else slack_event,
                respond_to=respond_to,
                drain_seconds=drain,
                ordered=ordered,
                refuse_origins=refuse_origin or (),
            )
            async with exposed(metrics_host, metrics_port, operations_of(backend)):
                await run_until_signal(
                    worker.run,
                    worker.shutdown,
                    drain_seconds=drain,
                    leave=partial(_leave_handlers_behind, backend),
                )
        leave_threads_behind("A cancelled handler", _THREADS)

    with suppress(KeyboardInterrupt):  # Ctrl-C on Windows cancels, so all events were given back
        anyio.run(work, backend_options={"use_uvloop": uvloop})


def _log_what_the_worker_does() -> None:
    """Log our own INFO, too. Do it before the bot is imported, so that the bot's configuration wins."""
    ours = logging.getLogger("abe_redis")
    if ours.getEffectiveLevel() > logging.INFO:
        ours.setLevel(logging.INFO)


# The life of the worker ---------------------------------------------------------------------------------


async def _leave_handlers_behind(backend: "RedisMessageQueueBackend") -> None:
    """End the process, though a handler shields itself or swallows its cancellation: its lease has to end."""
    with anyio.CancelScope(shield=True):
        await backend.close()
    _LOG.warning(
        "Cancelled handlers did not end within %g s; the process ends without waiting for them. Their events "
        "are delivered again when their leases end.",
        PATIENCE_SECONDS,
    )
    sys.stdout.flush()
    os._exit(0)


_THREADS = ("AnyIO worker thread", "asyncio_", "uvloop_", "ThreadPoolExecutor")
"""How the names of the threads begin in which handlers run functions."""

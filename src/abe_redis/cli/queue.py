"""publish, read, stats and audit: an agent's operations, for people and scripts."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from abe_redis.cli.app import EVENTS, INSPECT, app
from abe_redis.cli.common import (
    AnyStream,
    AsJson,
    json_of,
    plain,
    progress,
    say,
    show,
    with_backend,
    with_operations,
)
from abe_redis.cli.encoding import checked, from_stdin, json_object
from abe_redis.cli.settle import how_to_see_leases, how_to_settle
from abe_redis.errors import PayloadError
from abe_redis.runtime.plurals import count

if TYPE_CHECKING:
    from abe_redis.schemas import EventView

Stream = Annotated[str | None, typer.Argument(help="The stream; by default SLACK_EVENTS_TOPIC.")]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", "-g", help="The consumer group that leases the events; without it, nothing is changed."
    ),
]
Consumer = Annotated[
    str | None,
    typer.Option(
        "--consumer",
        help="With --group: the consumer for which events are leased, by default you (cli-USER@HOST); with "
        "--pending, show only what this one holds.",
        show_default=False,
    ),
]


@app.command(rich_help_panel=EVENTS)
def publish(
    payload: Annotated[
        str | None, typer.Argument(help="The event as a JSON object, or - to read it from stdin.")
    ] = None,
    *,
    stream: Annotated[
        str | None, typer.Option("--stream", "-s", help="The stream; by default SLACK_EVENTS_TOPIC.")
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option(
            help="An id; a stream adds an event of one id only once. By default the event's own `event_id`."
        ),
    ] = None,
    lines: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(help="Publish each line of this file, one JSON object per line; - is stdin."),
    ] = None,
    from_line: Annotated[
        int, typer.Option(help="With --lines: the number of the first line to publish.", min=1)
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Add an event to a stream, or many from a file.

    Example: abe-redis publish '{"type": "app_mention", "text": "hello"}'

    Example: abe-redis publish --lines events.jsonl --stream slack_events
    """
    if (payload is None) == (lines is None):
        raise typer.BadParameter("Give an event, or --lines with a file of events, and not both.")
    if lines is None and from_line != 1:
        raise typer.BadParameter("--from-line is for --lines.")
    if lines is not None:
        if event_id is not None:
            raise typer.BadParameter("--event-id is for one event; in a file, each has its own.")
        _publish_lines(lines, stream, from_line, as_json=as_json)
        return
    text = from_stdin() if payload == "-" else checked(payload or "")
    try:
        value = json_object(text)
    except ValueError as error:
        raise PayloadError(
            f"The event is no JSON object ({error}); nothing was published. It looks like "
            """{"type": "message", "text": "hello"}; in a shell, put it in single quotes."""
        ) from None
    result = with_operations(
        lambda operations: operations.publish_event(value, stream=stream, event_id=event_id)
    )
    if not value:
        say("abe-redis: The event is empty ({}): no handler can tell what it is about.", to_stderr=True)
    text = f"{'already there' if result.duplicate else 'added'} as {result.id}"
    if result.waiting:
        text = f"waits in the outbox as {result.id} until Redis takes it. {_why(result.reason)}"
    show(result, f"{plain(result.stream)}: {text}".rstrip(), as_json=as_json)


def _why(reason: str | None) -> str:
    """Why events wait in the outbox, for people."""
    return plain(reason or "Others wait there before it.")


def _publish_lines(lines: typer.FileBinaryRead, stream: str | None, first: int, *, as_json: bool) -> None:
    from abe_redis.cli.publish_lines import own, publish_lines  # noqa: PLC0415

    with progress("publishing") as on_progress:
        result = with_operations(
            lambda operations: publish_lines(
                operations, own(lines), stream=stream, first=first, on_progress=on_progress
            )
        )
    text = f"{count(result.lines, 'event')} published"
    text += f"; {result.duplicates} of them were already there" if result.duplicates else ""
    if result.waiting:
        text += f"; {result.waiting} of them wait in the outbox until Redis takes them. {_why(result.reason)}"
    show(result, text if result.waiting else f"{text}.", as_json=as_json)


@app.command(rich_help_panel=EVENTS)
def read(
    stream: Stream = None,
    *,
    number: Annotated[int, typer.Option("--count", "-n", help="How many at most.", min=1, max=100)] = 10,
    group: Group = None,
    create_group: Annotated[
        bool, typer.Option("--create-group", help="Create the group, even if the stream has others.")
    ] = False,
    consumer: Consumer = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="With --group: show the leased events, and change nothing.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(help="Begin after this entry id; by default at the end that --order names."),
    ] = None,
    order: Annotated[
        Literal["newest", "oldest"], typer.Option(help="The end of the stream at which to begin.")
    ] = "newest",
    event_type: Annotated[str | None, typer.Option(help="Only events of this type.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only events in the channel of this id.")] = None,
    user: Annotated[str | None, typer.Option(help="Only events by the user of this id.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only events from then on, as in 2h (ago) or 2026-01-31T09:00.")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for an event when there is none.", min=0, max=20)
    ] = 0,
    on_and_on: Annotated[
        bool, typer.Option("--follow", "-f", help="Show each new event as it comes, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show events; with --group, lease them, to be settled with `ack` or `release`.

    Example: abe-redis read slack_events --order oldest -n 5

    Example: abe-redis read slack_events --group workers -n 1

    Example: abe-redis read slack_events --follow --event-type app_mention

    Example: abe-redis read slack_events --user U061F7AUR --since 2h --json
    """
    filters: dict[str, Any] = {"event_type": event_type, "channel": channel, "user": user, "since": since}
    if on_and_on:
        if group or pending or create_group or consumer or order == "oldest" or wait:
            raise typer.BadParameter(
                "--follow changes nothing: combine it only with --count, --start and filters."
            )
        _follow(stream, number, start, filters, as_json=as_json)
        return
    result = with_operations(
        lambda operations: operations.read_stream(
            stream=stream,
            count=number,
            group=group,
            create_group=create_group,
            consumer=consumer,
            pending=pending,
            start=start,
            order=order,
            wait_seconds=wait,
            **filters,
        )
    )
    lines = [_line(event) for event in result.events]
    if result.note:
        lines.append(plain(result.note))
    if group and not pending and result.groups:
        settle = how_to_settle(result, group, consumer) if result.events else how_to_see_leases(result, group)
        lines.append(settle)
    if result.next_start:
        lines.append(f"More: add --start {plain(result.next_start)}")
    show(result, "\n".join(lines), as_json=as_json)


def _line(event: "EventView") -> str:
    held = f"  (delivery {event.deliveries}, {plain(event.consumer or 'nobody')})" if event.deliveries else ""
    return f"{event.id}  {event.timestamp:%Y-%m-%d %H:%M:%S}  {plain(event.summary)}{held}"


def _follow(
    stream: str | None, number: int, start: str | None, filters: dict[str, str | None], *, as_json: bool
) -> None:
    from abe_redis.cli.follow import follow_until_signal  # noqa: PLC0415
    from abe_redis.operations.operations import Operations  # noqa: PLC0415

    def show_event(event: "EventView") -> None:
        say(json_of(event) if as_json else _line(event))

    with suppress(KeyboardInterrupt):
        with_backend(
            lambda backend: follow_until_signal(
                Operations(backend, origin="cli"),
                show_event,
                stream=stream,
                count=number,
                start=start,
                **filters,
            )
        )


@app.command(rich_help_panel=INSPECT)
def stats(stream: AnyStream = None, *, as_json: AsJson = False) -> None:
    """Show the health of the streams: waiting events, consumers, and what is wrong.

    Example: abe-redis stats --json
    """
    from abe_redis.cli.stats import stats_and_causes  # noqa: PLC0415

    result, causes = with_backend(lambda backend: stats_and_causes(backend, stream))
    if as_json:
        show(result, "", as_json=True)
        return
    for sentence in causes:
        say(plain(sentence))
    if result.outbox is not None:
        refused = f", {result.outbox.refused} refused" if result.outbox.refused else ""
        say(f"Outbox: {result.outbox.waiting} waiting{refused}.")
    if not result.streams:
        say("No stream exists yet: nothing was published.")
        return
    from abe_redis.cli.stats import print_stats  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    seconds = Settings().redis_stream_lease_seconds
    print_stats(result.streams, every_consumer=stream is not None, lease_seconds=seconds)


def _facts(facts: dict[str, Any]) -> str:
    """What a change was about, as `name: value, value; name: value`."""
    return "; ".join(
        f"{name.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in facts.items()
    )


@app.command(rich_help_panel=INSPECT)
def audit(
    *,
    count: Annotated[int, typer.Option("--count", "-n", help="How many at most.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the changes that people and agents made, the newest first: when, from where, what and by whom.

    Example: abe-redis audit -n 50
    """
    from abe_redis.operations.audit import changes  # noqa: PLC0415
    from abe_redis.operations.scope import Scope  # noqa: PLC0415

    result = with_backend(lambda backend: changes(Scope(backend), count=count))
    lines = [
        f"{one.at:%Y-%m-%d %H:%M:%S}  {plain(one.origin)}  {plain(one.what.replace('_', ' '))}  "
        f"{plain(one.who)}  {plain(_facts(one.facts))}"
        for one in result.changes
    ]
    show(result, "\n".join(lines) or "Nobody has changed anything.", as_json=as_json)

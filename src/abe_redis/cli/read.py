"""read: show events, follow them as they come, or lease them."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from abe_redis.cli.app import EVENTS, app
from abe_redis.cli.common import AsJson, show, with_backend, with_operations
from abe_redis.cli.event_state import state_line, state_of
from abe_redis.cli.filters import EventFilters, EventType, Since, Until
from abe_redis.cli.output import json_of, plain, say
from abe_redis.cli.payload_lines import Lines, page_size, print_lines
from abe_redis.cli.settle import how_to_see_leases, how_to_settle
from abe_redis.cli.spread import spread
from abe_redis.runtime.plurals import duration, when

if TYPE_CHECKING:
    from abe_redis.operations.filters import Asked
    from abe_redis.operations.operations import Operations
    from abe_redis.schemas import EventView, ReadResult

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
_SHOWN = 10
"""How many events are shown if nobody says how many."""


@app.command(rich_help_panel=EVENTS)
@spread
def read(
    stream: Stream = None,
    *,
    number: Annotated[
        int | None,
        typer.Option(
            "--count",
            "-n",
            help="How many at most, by default 10, or with --lines all; with --follow, how many of the "
            "newest to begin with, or 0.",
            min=0,
            show_default=False,
        ),
    ] = None,
    group: Group = None,
    create_group: Annotated[
        bool, typer.Option("--create-group", help="Create the group, even if the stream has others.")
    ] = False,
    consumer: Consumer = None,
    pending: Annotated[
        bool,
        typer.Option(
            "--pending", help="With --group: show the leased events and who holds them, and change nothing."
        ),
    ] = False,
    waiting: Annotated[
        bool,
        typer.Option(
            "--waiting",
            help="Show what a group has not finished, the oldest first: not delivered, held or postponed; "
            "change nothing. --group may be left out when events wait in only one.",
        ),
    ] = False,
    event_id: Annotated[
        str | None,
        typer.Option(
            "--event-id",
            help="Find this event, by Slack's event_id or its entry id, and show how far each group is with "
            "it; without a stream, in all streams.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Begin after this entry id, or with --lines after ID@STREAM, as that names it; by default "
            "at the end that --order names."
        ),
    ] = None,
    order: Annotated[
        Literal["newest", "oldest"] | None,
        typer.Option(
            help="The end of the stream at which to begin; by default the newest, with --lines the oldest.",
            show_default=False,
        ),
    ] = None,
    event_type: EventType = None,
    events: EventFilters,
    since: Since = None,
    until: Until = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for an event when there is none.", min=0, max=20)
    ] = 0,
    on_and_on: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Show the newest events, as tail -f does, then each new one, until Ctrl-C."
        ),
    ] = False,
    lines: Lines = False,
    as_json: AsJson = False,
) -> None:
    """Show events; with --group, lease them, to be settled with `ack` or `release`.

    The partitions of a topic are streams of their own: name one; the answer says what they hold. --lines
    prints the topic's own stream, and then each partition.

    Exit code: 0, also when no event matches; 1 with --event-id when no such event is found, and with --lines
    when something was left out that is no event.

    Example: abe-redis read slack_events --order oldest -n 5

    Example: abe-redis read slack_events --group workers -n 1

    Example: abe-redis read slack_events --group workers --waiting

    Example: abe-redis read slack_events --follow --event-type app_mention

    Example: abe-redis read slack_events --user U061F7AUR --since 2h --json

    Example: abe-redis read slack_events --group workers --waiting --lines > waiting.jsonl

    Example: abe-redis read --event-id Ev0PV52K21
    """
    asked: Asked = {
        "event_type": event_type,
        **events.asked(),
        "since": since,
        "until": until,
    }
    if number == 0 and not on_and_on:
        raise typer.BadParameter("it must be at least 1, unless you --follow.", param_hint="'--count' / '-n'")
    if lines:
        others = (event_id is not None, on_and_on, pending, wait, as_json, create_group, consumer)
        if any(others) or (group is not None and not waiting) or order == "newest":
            raise typer.BadParameter(
                "--lines prints payloads, the oldest first, and changes nothing: combine it only with a "
                "stream, --count, --start, filters, and --waiting with --group."
            )
        _print_lines(stream, number, asked, waiting=waiting, group=group, start=start)
        return
    if event_id is not None:
        if on_and_on or group is not None or pending or waiting or create_group or consumer or start or wait:
            raise typer.BadParameter("--event-id finds one event: combine it only with a stream and --json.")
        if unheeded := [f"--{name.replace('_', '-')}" for name, value in asked.items() if value]:
            raise typer.BadParameter(f"--event-id finds one event: leave out {', '.join(unheeded)}.")
        _show_one(event_id, stream, as_json=as_json)
        return
    if on_and_on:
        if group is not None or pending or waiting or create_group or consumer or order == "oldest" or wait:
            raise typer.BadParameter(
                "--follow changes nothing: combine it only with --count, --start and filters."
            )
        _follow(stream, page_size(number, _SHOWN), start, asked, as_json=as_json)
        return
    _check_consumer(consumer, is_of_group=group is not None or pending or waiting)
    result = with_operations(
        lambda operations: _read(
            operations,
            stream,
            count=page_size(number, _SHOWN),
            group=group,
            create_group=create_group,
            consumer=consumer,
            pending=pending,
            waiting=waiting,
            start=start,
            order=order or "newest",
            wait_seconds=wait,
            **asked,
        )
    )
    _show(result, group, consumer, as_json=as_json)


def _check_consumer(consumer: str | None, *, is_of_group: bool) -> None:
    if consumer is not None and not is_of_group:
        raise typer.BadParameter("--consumer is for --group: name the group, or leave --consumer out.")


async def _read(operations: "Operations", stream: str | None, **how: Any) -> "ReadResult":  # noqa: ANN401
    """As `Operations.read_stream`; a stream that does not exist is an error if it or a group is named."""
    result = await operations.read_stream(stream=stream, max_chars=None, **how)
    is_named = stream is not None or how["group"] is not None
    if is_named and not (result.events or result.length):
        await operations.glance(stream=result.stream)
    return result


def _show(result: "ReadResult", group: str | None, consumer: str | None, *, as_json: bool) -> None:
    """Show events, and what to do next."""
    lines = [_line(event, paused=result.paused) for event in result.events]
    if result.note:
        lines.append(plain(result.note))
    if result.mode == "lease" and group and result.groups:
        settle = how_to_settle(result, group, consumer) if result.events else how_to_see_leases(result, group)
        lines.append(settle)
    if result.next_start:
        lines.append(f"More: add --start {plain(result.next_start)}")
    show(result, "\n".join(lines), as_json=as_json)


def _print_lines(
    stream: str | None,
    most: int | None,
    asked: "Asked",
    *,
    waiting: bool,
    group: str | None,
    start: str | None,
) -> None:
    with_operations(
        lambda operations: print_lines(
            operations.payloads(stream=stream, waiting=waiting, group=group, start=start, **asked),
            most=most,
            what="event",
        )
    )


def _show_one(event_id: str, stream: str | None, *, as_json: bool) -> None:
    """Show an event, and how far each group is with it."""
    result = with_operations(lambda operations: _find(operations, event_id, stream))
    lines = [f"{_line(event)}\n  stream {plain(result.stream)}" for event in result.events]
    lines += [f"  {state_line(one)}" for one in result.handled]
    if result.events:
        lines.append(plain(result.note))
    error = "" if result.events else plain(result.note)
    show(result, "\n".join(lines), as_json=as_json, error=error)


async def _find(operations: "Operations", event_id: str, stream: str | None) -> "ReadResult":
    result = await operations.find_event(event_id, stream=stream)
    if not result.events and await operations.find_dead_letter(event_id, stream=stream) is not None:
        result.note = f"{event_id} is the id of a dead letter: `abe-redis dead show {event_id}` shows it."
    return result


def _line(event: "EventView", *, paused: bool = False) -> str:
    facts = [f"waits for {duration(event.waited_seconds)}"] if event.waited_seconds is not None else []
    facts += filter(None, [state_of(event, paused=paused)])
    state = f"  ({', '.join(facts)})" if facts else ""
    return f"{event.id}  {when(event.timestamp)}  {plain(event.summary)}{state}"


def _follow(stream: str | None, number: int, start: str | None, asked: "Asked", *, as_json: bool) -> None:
    from abe_redis.cli.follow import follow  # noqa: PLC0415
    from abe_redis.operations.operations import Operations  # noqa: PLC0415

    def show_event(event: "EventView") -> None:
        say(json_of(event) if as_json else _line(event))

    with suppress(KeyboardInterrupt):
        with_backend(
            lambda backend: follow(
                Operations(backend, origin="cli"),
                show_event,
                stream=stream,
                count=number,
                start=start,
                **asked,
            )
        )

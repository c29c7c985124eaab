"""publish, read, ack and stats: the operations an agent has, for people and scripts."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel

from abe_redis.cli.app import app
from abe_redis.cli.running import AsJson, plain, show, with_backend
from abe_redis.errors import PayloadError

Stream = Annotated[str | None, typer.Argument(help="The stream; by default SLACK_EVENTS_TOPIC.")]
Group = Annotated[str | None, typer.Option("--group", "-g", help="The consumer group.")]
Consumer = Annotated[str | None, typer.Option("--consumer", help="The name that holds the events.")]


def _run[Result: BaseModel](call: Callable[[Any], Awaitable[Result]]) -> Result:
    """Make one call on the operations."""
    from abe_redis.operations import Operations  # noqa: PLC0415

    return with_backend(lambda backend: call(Operations(backend, origin="cli")))


@app.command()
def publish(
    payload: Annotated[str, typer.Argument(help="The event as a JSON object, or - to read it from stdin.")],
    *,
    stream: Annotated[
        str | None, typer.Option("--stream", "-s", help="The stream; by default SLACK_EVENTS_TOPIC.")
    ] = None,
    event_id: Annotated[str | None, typer.Option(help="The same id is added to a stream only once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add an event to a stream.

    Example: abe-redis publish '{"type": "app_mention", "text": "hello"}'
    """
    text = sys.stdin.read() if payload == "-" else payload
    try:
        value = json.loads(text)
    except ValueError as error:
        raise PayloadError(f"The payload is not JSON ({error}); nothing was published.") from None
    result = _run(lambda operations: operations.publish_event(value, stream=stream, event_id=event_id))
    done = "added as"
    if result.waiting:
        done = "Redis is away; kept in the outbox as"
    elif result.duplicate:
        done = "already there as"
    show(result, f"{result.stream}: {done} {result.id}", as_json=as_json)


@app.command()
def read(
    stream: Stream = None,
    *,
    count: Annotated[int, typer.Option("--count", "-n", help="How many at most.", min=1, max=100)] = 10,
    group: Group = None,
    create_group: Annotated[
        bool, typer.Option("--create-group", help="Make the group although the stream has others.")
    ] = False,
    consumer: Consumer = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="With --group: show what is leased, and change nothing.")
    ] = False,
    start: Annotated[str | None, typer.Option(help="Begin behind this entry id.")] = None,
    order: Annotated[Literal["newest", "oldest"], typer.Option(help="From which end to look.")] = "newest",
    event_type: Annotated[str | None, typer.Option(help="Only events of this type.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait when there is nothing.", min=0, max=20)] = 0,
    as_json: AsJson = False,
) -> None:
    """Look at events; with --group, lease them to --consumer and finish them with ack.

    Example: abe-redis read slack_events --order oldest -n 5
    """
    result = _run(
        lambda operations: operations.read_stream(
            stream=stream,
            count=count,
            group=group,
            create_group=create_group,
            consumer=consumer,
            pending=pending,
            start=start,
            order=order,
            event_type=event_type,
            wait_seconds=wait,
        )
    )
    lines = []
    for event in result.events:
        held = f"  (delivery {event.deliveries}, {event.consumer or 'nobody'})" if event.deliveries else ""
        lines.append(f"{event.id}  {event.timestamp:%Y-%m-%d %H:%M:%S}  {plain(event.summary)}{held}")
    if result.note:
        lines.append(result.note)
    if result.next_start:
        lines.append(f"More: add --start {result.next_start}")
    show(result, "\n".join(lines), as_json=as_json)


@app.command()
def ack(
    stream: Annotated[str, typer.Argument(help="The stream.")],
    ids: Annotated[list[str], typer.Argument(help="The ids of the events that are done.")],
    *,
    group: Annotated[str, typer.Option("--group", "-g", help="The consumer group.")],
    consumer: Annotated[str, typer.Option("--consumer", help="The name that holds the events.")],
    as_json: AsJson = False,
) -> None:
    """Finish events that a consumer holds.

    Example: abe-redis ack slack_events 1732000000000-0 --group workers --consumer me
    """
    result = _run(lambda operations: operations.ack(stream=stream, group=group, ids=ids, consumer=consumer))
    text = f"{len(result.acked)} acknowledged"
    for what, which in (("held by another consumer", result.not_held), ("not pending", result.unknown)):
        text += f"; {what}: {', '.join(which)}" if which else ""
    show(result, text, as_json=as_json)
    if not result.acked:
        raise typer.Exit(1)


@app.command()
def stats(
    stream: Annotated[str | None, typer.Argument(help="One stream.")] = None, *, as_json: AsJson = False
) -> None:
    """Show the health of the streams: what waits, who works, what is wrong.

    Example: abe-redis stats --json
    """
    result = _run(lambda operations: operations.stream_stats(stream=stream))
    if as_json:
        show(result, "", as_json=True)
        return
    if result.outbox is not None:
        refused = f", {result.outbox.refused} refused" if result.outbox.refused else ""
        typer.echo(f"Outbox: {result.outbox.waiting} waiting{refused}.")
    if not result.streams:
        typer.echo("No stream exists yet: nothing was published.")
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    table = Table()
    table.add_column("stream", overflow="fold")
    for column in ("health", "entries", "groups", "pending", "lag", "dead"):
        table.add_column(column)
    for one in result.streams:
        lags = [group.lag for group in one.groups]
        table.add_row(
            Text(one.stream),
            one.health,
            str(one.length),
            str(len(one.groups)),
            str(sum(group.pending for group in one.groups)),
            "?" if None in lags else str(sum(lag or 0 for lag in lags)),
            str(one.dead_letters),
        )
    console.print(table)
    for one in result.streams:
        if one.health != "ok" or any(group.lost for group in one.groups):
            console.print(Text(f"{one.stream}: {one.advice}"))


@app.command()
def audit(
    *,
    count: Annotated[int, typer.Option("--count", "-n", help="How many at most.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what agents have changed through the MCP server, the newest first.

    Example: abe-redis audit -n 50
    """
    from abe_redis.access import Access  # noqa: PLC0415
    from abe_redis.upkeep.audit import changes  # noqa: PLC0415

    result = with_backend(lambda backend: changes(Access(backend), count=count))
    lines = [
        f"{one.at:%Y-%m-%d %H:%M:%S}  {one.what}  {plain(one.who)}  {plain(str(one.facts))}"
        for one in result.changes
    ]
    show(result, "\n".join(lines) or "No agent has changed anything.", as_json=as_json)

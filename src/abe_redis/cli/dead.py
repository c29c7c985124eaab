"""dead list, summary and show: the events that a group gave up on."""

import json
from typing import Annotated

import typer

from abe_redis.cli.app import REPAIR, app
from abe_redis.cli.common import AnyStream, AsJson, progress, with_scope
from abe_redis.cli.common import show as show_result
from abe_redis.cli.dead_choice import LetterFilters, none_of
from abe_redis.cli.filters import EventFilters
from abe_redis.cli.option_values import CheckedGroup
from abe_redis.cli.output import plain
from abe_redis.cli.payload_lines import Lines, page_size, print_lines
from abe_redis.cli.spread import spread
from abe_redis.runtime.plurals import count, when

dead = typer.Typer(
    name="dead",
    cls=CheckedGroup,
    no_args_is_help=True,
    help="Dead letters: the events that a group gave up on.",
)
app.add_typer(dead, rich_help_panel=REPAIR)


@dead.command("list")
@spread
def list_(
    stream: AnyStream = None,
    *,
    number: Annotated[
        int | None,
        typer.Option(
            "--count",
            "-n",
            help="How many at most: up to 100, by default 20; with --lines any number, by default all.",
            min=1,
            show_default=False,
        ),
    ] = None,
    letters: LetterFilters,
    events: EventFilters,
    start: Annotated[
        str | None,
        typer.Option("--start", help="Begin behind this one: an id, or what the page before names."),
    ] = None,
    lines: Lines = False,
    as_json: AsJson = False,
) -> None:
    """Show dead letters with their reasons, those of a stream together, the oldest first.

    Example: abe-redis dead list slack_events --reason Timeout

    Example: abe-redis dead list --user U061F7AUR

    Example: abe-redis dead list slack_events --lines > dead.jsonl
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = letters.choice()
    asked = events.asked()
    if lines:
        if as_json:
            raise typer.BadParameter("Each of the --lines is JSON: leave out --json.")
        with_scope(
            lambda scope: print_lines(
                DeadLetters(scope).payloads(stream, choice, start=start, **asked),
                most=number,
                what="dead letter",
            )
        )
        return
    most = page_size(number, 20)
    result = with_scope(
        lambda scope: DeadLetters(scope).find(stream, choice, count=most, start=start, **asked)
    )
    said = []
    for one in result.letters:
        tries = count(one.deliveries or 0, "delivery", "deliveries")
        event = f"event {plain(one.entry_id)}"
        by = f" of {plain(one.handler)}" if one.handler else ""
        said += [
            f"{one.id}  {when(one.buried_at)}  {plain(one.stream)}  {plain(one.summary)}",
            f"    {event}, group {plain(one.group or '?')}{by} after {tries}: {plain(one.reason)}",
        ]
    if result.more:
        said.append(f"There are more: add --start {plain(result.next_start or '')}, or narrow the choice.")
    elif not said:
        said.append(none_of(result.total))
    show_result(result, "\n".join(said), as_json=as_json)


@dead.command()
@spread
def summary(
    stream: AnyStream = None,
    *,
    number: Annotated[
        int, typer.Option("--count", "-n", help="How many kinds at most.", min=1, max=100)
    ] = 20,
    letters: LetterFilters,
    events: EventFilters,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by reason, type, group and handler, the most frequent kind first.

    Reasons count as alike when they differ in numbers, ids and quoted words only. Where nothing else is left,
    the last one is shown whole.

    Example: abe-redis dead summary slack_events
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = letters.choice()
    asked = events.asked()
    with progress("counting") as on_progress:
        result = with_scope(
            lambda scope: DeadLetters(scope, on_progress=on_progress).summarise(
                stream, choice, count=number, **asked
            )
        )
    lines = [] if result.kinds else [none_of(result.in_streams)]
    for one in result.kinds:
        of = " of " + plain(one.handler) if one.handler else ""
        which = f"{plain(one.stream)}  {plain(one.event_type or 'no type')}  group {plain(one.group or '?')}"
        lines += [
            f"{one.count:>7}  {which}{of}: {plain(one.reason)}",
            *([f"         the last says: {plain(one.sample)}"] if one.sample else []),
            f"         {when(one.first_at)} to {when(one.last_at)}; the last: {one.last_id}",
        ]
    if result.omitted:
        lines.append(f"Another {count(result.omitted, 'kind')}: raise --count, or narrow the choice.")
    show_result(result, "\n".join(lines), as_json=as_json)


@dead.command()
def show(
    dead_id: Annotated[
        str, typer.Argument(metavar="ID", help="Its id, as `dead list` shows it, or its event's, as logs do.")
    ],
    *,
    stream: Annotated[
        str | None, typer.Option("--stream", "-s", help="The stream it came from; by default every one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show all of a dead letter: why, by which handler, the traceback's end, and the payload.

    Example: abe-redis dead show 1732000000000-0
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    result = with_scope(lambda scope: DeadLetters(scope).show(dead_id, stream))
    blocks = []
    for one in result.letters:
        facts = {
            "id": one.id,
            "stream": one.stream,
            "first id": one.first_id,
            "last id": one.entry_id if one.entry_id != one.first_id else None,
            "buried": when(one.buried_at),
            "group": one.group,
            "handler": one.handler,
            "consumer": one.consumer,
            "deliveries": str(one.deliveries or "?"),
            "event": one.summary,
            "reason": one.reason,
        }
        lines = [f"{name:<11}{plain(value)}" for name, value in facts.items() if value]
        # Indented, so that no line of an exception's message looks like one of ours.
        lines += ["", *(f"  {plain(said)}" for said in one.trace.splitlines())] if one.trace else []
        text = json.dumps(one.payload, indent=2, ensure_ascii=False) if one.payload is not None else ""
        lines += ["", *map(plain, text.splitlines())]
        blocks.append("\n".join(lines))
    show_result(result, "\n\n".join(blocks), as_json=as_json)

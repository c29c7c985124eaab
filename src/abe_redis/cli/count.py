"""count: how many events have something in common."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from abe_redis.cli.app import INSPECT, app
from abe_redis.cli.common import AsJson, show, with_operations
from abe_redis.cli.filters import EventFilters, EventType, Since, Until
from abe_redis.cli.output import plain
from abe_redis.cli.spread import spread
from abe_redis.runtime.event_words import redriven
from abe_redis.runtime.plurals import count as count_of

if TYPE_CHECKING:
    from abe_redis.operations.filters import Asked
    from abe_redis.schemas import CountResult


@app.command("count", rich_help_panel=INSPECT)
@spread
def count_(
    stream: Annotated[str | None, typer.Argument(help="The stream; by default SLACK_EVENTS_TOPIC.")] = None,
    *,
    by: Annotated[
        Literal["type", "user", "channel", "thread", "hour", "day", "reason", "group", "handler"],
        typer.Option(help="What to count by; reason, group and handler are those of dead letters."),
    ] = "type",
    dead: Annotated[bool, typer.Option("--dead", help="Count the stream's dead letters.")] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Count only what a group has not finished.")
    ] = False,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            "-g",
            help="With --waiting: the group; by default the only one in which events wait. With --dead: only "
            "what this group gave up on.",
        ),
    ] = None,
    number: Annotated[int, typer.Option("--count", "-n", help="How many rows at most.", min=1, max=100)] = 20,
    event_type: EventType = None,
    events: EventFilters,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Count events by what they have in common, from the newest on; the most first, times in their order.

    Finished events count, too, as long as the stream has them; with --waiting they do not. The partitions of
    a topic are counted together; name one to count it alone.

    Example: abe-redis count slack_events --by channel --since 2h

    Example: abe-redis count slack_events --waiting --group workers

    Example: abe-redis count slack_events --by reason
    """
    if group is not None and not (waiting or dead or by in {"reason", "group", "handler"}):
        raise typer.BadParameter(
            "--group says whose waiting events (--waiting) or dead letters (--dead) are counted: add one."
        )
    asked: Asked = {**events.asked(), "event_type": event_type, "since": since, "until": until}
    result = with_operations(
        lambda operations: operations.count_events(
            by=by,
            stream=stream,
            dead=dead,
            waiting=waiting,
            group=group,
            count=number,
            **asked,
        )
    )
    lines = [f"{row.count:>7}  {plain(row.value)}  (newest {row.last_id})" for row in result.rows]
    lines += [_sentence(result)] if result.searched or not result.note else []
    lines += [said] if (said := redriven(result.redriven)) and not result.waiting else []
    lines += [plain(result.note)] if result.note else []
    if result.streams:
        parts = ", ".join(f"{plain(one.stream)} {one.total}" for one in result.streams)
        lines.append(f"Its streams are counted together: {parts}.")
    if result.omitted:
        lines.append(f"Another {count_of(result.omitted, 'row')}: raise --count, or narrow the choice.")
    show(result, "\n".join(lines), as_json=as_json)


def _sentence(result: "CountResult") -> str:
    """How many there are, of which, and whether all were looked at."""
    what = "dead letter" if result.dead else "event"
    which = "" if result.dead else ", finished ones included"
    if result.dead and result.group:
        which = f" of group {plain(result.group)}"
    if result.waiting:
        which = f" that wait in group {plain(result.group)}" if result.group else " that wait"
    end = "oldest" if result.waiting else "newest"
    looked = "all were looked at" if result.complete else f"the {result.searched} {end} were looked at"
    if result.total or not result.searched:
        return f"{count_of(result.total, what)} of {plain(result.stream)}{which}; {looked}."
    comma = "," if which.startswith(",") else ""
    number = "The only" if result.searched == 1 else f"None of the {result.searched}"
    match = "does not match" if result.searched == 1 else "matches"
    noun = what if result.searched == 1 else f"{what}s"
    return f"{number} {noun} of {plain(result.stream)}{which}{comma} {match}; {looked}."

"""group list, create, reset, remove, replay, pause and resume."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from abe_redis.cli.app import REPAIR, app
from abe_redis.cli.common import (
    AnyStream,
    AsJson,
    DryRun,
    Stream,
    Yes,
    at_terminal,
    confirm,
    show,
    with_scope,
)
from abe_redis.cli.failure import MAY_BE_DONE, when_interrupted
from abe_redis.cli.option_values import CheckedGroup
from abe_redis.cli.output import plain, say
from abe_redis.runtime.plurals import count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from abe_redis.operations.groups import Groups
    from abe_redis.schemas import GroupChange, GroupOfStream, GroupsResult, GroupStats

group = typer.Typer(
    name="group",
    cls=CheckedGroup,
    no_args_is_help=True,
    help="Consumer groups: list, create, move, replay, pause and remove them.",
)
app.add_typer(group, rich_help_panel=REPAIR)

_WIDE, _LONGEST_NAME = 100, 24
"""Columns below which the list has no room to spare, and of a name that is never broken."""

CreateStream = Annotated[
    bool,
    typer.Option(
        "--create-stream",
        help="Make a stream that does not exist yet, empty. A partition of a topic that has streams is made "
        "without this, too; any other name might be mistyped.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group.")]
_POINT = "beginning, now, an entry id, a time such as 2026-01-31T09:00 (UTC), or a time ago such as 2h"


@group.command("list")
def list_(stream: AnyStream = None, *, as_json: AsJson = False) -> None:
    """Show the groups: unfinished events, consumers alive, and lost events of each; agents apart.

    Example: abe-redis group list slack_events
    """
    from abe_redis.operations.groups import Groups  # noqa: PLC0415

    result = with_scope(lambda scope: Groups(scope).describe(stream))
    if as_json:
        show(result, "", as_json=True)
    elif not result.groups:
        say(
            "No group exists yet: start a worker (`abe-redis worker MODULE:HANDLER --group GROUP`), or "
            "create one with `abe-redis group create`."
        )
    else:
        _print(result)


def _print(result: "GroupsResult") -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from abe_redis.inspection.health import UNKNOWN_LAG  # noqa: PLC0415
    from abe_redis.runtime.plurals import duration, pending  # noqa: PLC0415

    table = Table(padding=(0, 0 if Console().width < _WIDE else 1))
    for column in ("stream", "group"):
        longest = max(len(_name_in(column, one)) for one in result.groups)
        width = min(longest, _LONGEST_NAME)  # a name that is cut off or broken could be any partition's
        table.add_column(column, overflow="fold", min_width=width)
    for column in ("pending", "lag", "alive", "last used", "lost", "state"):
        table.add_column(column)
    for one in result.groups:
        table.add_row(
            Text(plain(one.stream)),
            Text(plain(one.name)),
            pending(one.pending, one.postponed),
            "?" if one.lag is None else str(one.lag),
            _alive(one),
            "?" if one.unused_seconds is None else f"{duration(one.unused_seconds)} ago",
            str(one.lost),
            _state(one),
        )
    Console().print(table)
    if any(one.lag is None and not one.beyond_end for one in result.groups):
        say(f"lag ?: {UNKNOWN_LAG}.")


def _name_in(column: str, one: "GroupOfStream") -> str:
    return plain(one.stream if column == "stream" else one.name)


def _state(group: "GroupStats") -> str:
    """What keeps the group from its events."""
    if group.destroyed:
        return "destroyed"
    return "beyond the end" if group.beyond_end else "paused" if group.paused else ""


def _alive(group: "GroupStats") -> str:
    """How many workers are alive; agents and people are counted apart, since they choose their events."""
    agents = [one for one in group.consumers if one.kind == "agent"]
    people = [one for one in group.consumers if one.kind == "person"]
    others = [one for one in group.consumers if one not in agents and one not in people]
    said = (
        [f"{sum(one.alive for one in others)} of {len(others)}"] if others or not (agents or people) else []
    )
    if agents:
        said.append(f"{sum(one.alive for one in agents)} of {count(len(agents), 'agent')}")
    if people:
        said.append(f"{sum(one.alive for one in people)} of {count(len(people), 'person', 'people')}")
    return ", ".join(said)


def _tell(change: "GroupChange", *, as_json: bool) -> None:
    done = "" if change.done == "nothing" else f"{change.done}. "
    text = f"{plain(change.stream)}, group {plain(change.group)}: {done}{plain(change.note)}"
    show(change, text, as_json=as_json)


def _done(call: "Callable[[Groups], Awaitable[GroupChange]]", *, dry_run: bool = False) -> "GroupChange":
    """Make a change of a group; whoever interrupts it learns how to see whether it is done."""
    from abe_redis.operations.groups import Groups  # noqa: PLC0415

    with nullcontext() if dry_run else when_interrupted(MAY_BE_DONE):
        return with_scope(lambda scope: call(Groups(scope)))


def _change(
    change: "Callable[..., GroupChange]", *, dry_run: bool, yes: bool, as_json: bool, force: bool = True
) -> None:
    """Make a change after which events come again; on a terminal ask first, if there are any."""
    if not (dry_run or yes) and at_terminal():
        would = change(dry_run=True)
        if would.again and (force or not would.events):  # else it is refused
            confirm(
                f"{plain(would.stream)}, group {plain(would.group)}: {plain(would.note)} Do it?", yes=False
            )
    _tell(change(dry_run=dry_run), as_json=as_json)


@group.command()
def create(
    stream: Stream,
    name: Name,
    *,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help=f"Where it starts: {_POINT}. By default the beginning, or where a group that somebody "
            "destroyed had finished.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --from: create a destroyed group even if it has unfinished events; those before that "
            "point are given up.",
        ),
    ] = False,
    create_stream: CreateStream = False,
    as_json: AsJson = False,
) -> None:
    """Create a group; one that somebody destroyed, again where it had finished.

    Example: abe-redis group create slack_events audit --from now
    """
    change = _done(
        lambda groups: groups.create(stream, name, start=start, force=force, create_stream=create_stream)
    )
    _tell(change, as_json=as_json)


@group.command()
def reset(
    stream: Stream,
    name: Name,
    *,
    start: Annotated[str, typer.Option("--from", help=f"Where it continues: {_POINT}.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Move it even if it has pending events, or undelivered ones before the new point. Workers "
            "let go of what they have read ahead, for which the command waits three seconds at most; running "
            "handlers go on.",
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move a group to another point of the stream; it gets all later events, some of them again.

    On a terminal it says how many events come again, and asks; a script is not asked. Events before which the
    group began count as coming again, too. An event that was redriven is in the stream twice, and both come;
    `group replay` delivers it once.

    Example: abe-redis group reset slack_events workers --from 2h --dry-run
    """

    def reset_it(*, dry_run: bool) -> "GroupChange":
        return _done(
            lambda groups: groups.reset(stream, name, start=start, force=force, dry_run=dry_run),
            dry_run=dry_run,
        )

    _change(reset_it, dry_run=dry_run, yes=yes, as_json=as_json, force=force)


@group.command()
def remove(
    stream: Stream,
    name: Name,
    *,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Remove it even if it has unfinished events, which gives them up, or live consumers, which "
            "make it again and get everything from the beginning.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a group that has finished everything, and that no consumer reads any more.

    If it has workers that are silent and have not ended in order, it waits first for a sign of life, 17
    seconds at most: after a step of the server's clock, live workers look so, too.

    Example: abe-redis group remove slack_events audit
    """

    def told(sentence: str) -> None:
        say(f"abe-redis: {sentence}", to_stderr=True)

    _tell(_done(lambda groups: groups.remove(stream, name, force=force, on_wait=told)), as_json=as_json)


@group.command()
def replay(
    stream: Stream,
    name: Name,
    *,
    first: Annotated[str, typer.Option("--from", help=f"The first event: {_POINT}.")],
    last: Annotated[
        str,
        typer.Option(
            "--to",
            help="The last event, in the same form: it is delivered, too. A time is better given by --until.",
        ),
    ] = "now",
    until: Annotated[
        str | None,
        typer.Option(
            help="Only events before this point, as in `read` and `count`: the event at it is not delivered."
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deliver a range of events to one group again, except those that it has not finished yet.

    On a terminal it says how many events come again, and asks; a script is not asked. An event that the
    group gave up on counts as finished: do not redrive its dead letter as well. An event that was redriven
    before comes once.

    Example: abe-redis group replay slack_events workers --from 2h --until 1h
    """
    if until is not None and last != "now":
        raise typer.BadParameter(
            "Give --until, which leaves its point out, or --to, which includes it; not both."
        )

    def replay_it(*, dry_run: bool) -> "GroupChange":
        return _done(
            lambda groups: groups.replay(stream, name, first=first, last=last, until=until, dry_run=dry_run),
            dry_run=dry_run,
        )

    _change(replay_it, dry_run=dry_run, yes=yes, as_json=as_json)


@group.command()
def pause(
    stream: Stream, name: Name, *, create_stream: CreateStream = False, as_json: AsJson = False
) -> None:
    """Deliver no events of a group until it is resumed.

    A group that other streams have can be paused where it does not exist yet: in a stream that no worker has
    found, and in a partition, still to come, of a topic that has streams.

    Example: abe-redis group pause slack_events workers
    """
    _tell(
        _done(lambda groups: groups.pause(stream, name, create_stream=create_stream)),
        as_json=as_json,
    )


@group.command()
def resume(stream: Stream, name: Name, *, as_json: AsJson = False) -> None:
    """Deliver the events of a paused group again.

    Example: abe-redis group resume slack_events workers
    """
    _tell(_done(lambda groups: groups.resume(stream, name)), as_json=as_json)

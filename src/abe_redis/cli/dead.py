"""dead list, summary, show, bury, redrive and purge: the events that a group gave up on."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from abe_redis.cli.app import REPAIR, app
from abe_redis.cli.common import (
    AnyStream,
    AsJson,
    DryRun,
    Stream,
    Yes,
    confirm,
    fail,
    plain,
    progress,
    with_backend,
    with_scope,
)
from abe_redis.cli.common import show as show_result
from abe_redis.cli.dead_choice import EventType, Everything, Group, Ids, OlderThan, Reason, choice_of
from abe_redis.cli.filters import Channel, Contains, Thread, User, Workspace
from abe_redis.cli.payload_lines import Lines, page_size, print_lines
from abe_redis.runtime.plurals import count, when
from abe_redis.runtime.shell import command

if TYPE_CHECKING:
    from abe_redis.operations.filters import Asked
    from abe_redis.schemas import PurgeResult, RedriveResult

dead = typer.Typer(
    name="dead", no_args_is_help=True, help="Dead letters: the events that a group gave up on."
)
app.add_typer(dead, rich_help_panel=REPAIR)


@dead.command("list")
def list_(
    stream: AnyStream = None,
    *,
    number: Annotated[
        int | None,
        typer.Option(
            "--count",
            "-n",
            help="How many at most, by default 20, or with --lines all.",
            min=1,
            show_default=False,
        ),
    ] = None,
    reason: Reason = None,
    group: Group = None,
    event_type: EventType = None,
    older_than: OlderThan = None,
    channel: Channel = None,
    user: User = None,
    workspace: Workspace = None,
    thread: Thread = None,
    contains: Contains = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="Begin behind this one: an id, or what the page before names."),
    ] = None,
    lines: Lines = False,
    as_json: AsJson = False,
) -> None:
    """Show dead letters with their reasons, the oldest first.

    Example: abe-redis dead list slack_events --reason Timeout

    Example: abe-redis dead list --user U061F7AUR

    Example: abe-redis dead list slack_events --lines > dead.jsonl
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = choice_of(
        None, everything=False, reason=reason, group=group, event_type=event_type, older_than=older_than
    )
    asked: Asked = {
        "channel": channel,
        "user": user,
        "workspace": workspace,
        "thread": thread,
        "contains": contains,
    }
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
        said += [
            f"{one.id}  {when(one.buried_at)}  {plain(one.stream)}  {plain(one.summary)}",
            f"    {event}, group {plain(one.group or '?')} after {tries}: {plain(one.reason)}",
        ]
    if result.more:
        said.append(f"There are more: add --start {plain(result.next_start or '')}, or narrow the choice.")
    elif not said:
        said.append(
            "No dead letters." if not result.total else f"None of {result.total} dead letters matches."
        )
    show_result(result, "\n".join(said), as_json=as_json)


@dead.command()
def summary(
    stream: AnyStream = None,
    *,
    number: Annotated[
        int, typer.Option("--count", "-n", help="How many kinds at most.", min=1, max=100)
    ] = 20,
    reason: Reason = None,
    group: Group = None,
    event_type: EventType = None,
    older_than: OlderThan = None,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by reason, type, group and handler, the most frequent kind first.

    Reasons count as alike when they differ in numbers, ids and quoted words only.

    Example: abe-redis dead summary slack_events
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = choice_of(
        None, everything=False, reason=reason, group=group, event_type=event_type, older_than=older_than
    )
    with progress("counting") as on_progress:
        result = with_scope(
            lambda scope: DeadLetters(scope, on_progress=on_progress).summarise(stream, choice, count=number)
        )
    lines = [] if result.kinds else ["No dead letters."]
    for one in result.kinds:
        of = " of " + plain(one.handler) if one.handler else ""
        which = f"{plain(one.stream)}  {plain(one.event_type or 'no type')}  group {plain(one.group or '?')}"
        lines += [
            f"{one.count:>7}  {which}{of}: {plain(one.reason)}",
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


@dead.command()
def bury(
    stream: Stream,
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id, as `read` shows it.")],
    *,
    group: Annotated[str, typer.Option("--group", "-g", help="The group that gives up on it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever redrives it reads that.")],
    as_json: AsJson = False,
) -> None:
    """Give up on an event that nobody holds, for one group: it becomes a dead letter.

    Example: abe-redis dead bury slack_events 1732000000000-0 --group workers --reason "its file is gone"
    """
    from abe_redis.operations import burying  # noqa: PLC0415
    from abe_redis.operations.operations import Operations  # noqa: PLC0415

    result = with_backend(
        lambda backend: burying.bury(
            Operations(backend, origin="cli"), entry_id, stream=stream, group=group, reason=reason
        )
    )
    text = f"{count(len(result.buried), 'event')} of {plain(result.stream)} buried for {plain(result.group)}."
    show_result(result, text, as_json=as_json)


@dead.command()
def redrive(
    stream: Stream,
    ids: Ids = None,
    *,
    everything: Everything = False,
    reason: Reason = None,
    group: Group = None,
    event_type: EventType = None,
    older_than: OlderThan = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to work, each to the group that gave up on it and to no other.

    They keep the order in which they were published, and their delivery counts start again at zero.

    Example: abe-redis dead redrive slack_events --reason Timeout --dry-run

    Example: abe-redis dead redrive slack_events 1732000000000-0 1732000000001-0
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = choice_of(
        ids, everything=everything, reason=reason, group=group, event_type=event_type, older_than=older_than
    )
    with progress("redriving") as on_progress:
        result = with_scope(
            lambda scope: DeadLetters(scope, on_progress=on_progress).redrive(stream, choice, dry_run=dry_run)
        )
    done = "would go back to work" if dry_run else "went back to work"
    groups = ", ".join(f"{plain(name or '?')} {number}" for name, number in result.groups.items())
    text = f"{count(result.redriven, 'dead letter')} of {plain(result.stream)} {done}"
    text += f" (group {groups})" if groups else ""
    text += f"; {_left(result.left, dry_run)}."
    if result.same_event:
        text += f" Of these, {result.same_event} chosen stay, since newer ones of the same events go back."
    _show_change(
        result,
        text,
        is_done=bool(result.redriven),
        as_json=as_json,
    )


@dead.command()
def purge(
    stream: Stream,
    ids: Ids = None,
    *,
    everything: Everything = False,
    reason: Reason = None,
    group: Group = None,
    event_type: EventType = None,
    older_than: OlderThan = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good.

    Example: abe-redis dead purge slack_events --older-than 30d --yes
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = choice_of(
        ids, everything=everything, reason=reason, group=group, event_type=event_type, older_than=older_than
    )
    if not dry_run:
        choice.check()
        confirm(f"Remove the chosen dead letters of {plain(stream)} for good?", yes=yes)
    with progress("purging") as on_progress:
        result = with_scope(
            lambda scope: DeadLetters(scope, on_progress=on_progress).purge(stream, choice, dry_run=dry_run)
        )
    done = "would be removed" if dry_run else "removed"
    text = f"{count(result.purged, 'dead letter')} of {plain(result.stream)} {done}; "
    text += f"{_left(result.left, dry_run)}."
    _show_change(result, text, is_done=bool(result.purged), as_json=as_json)


def _left(left: int, dry_run: bool) -> str:  # noqa: FBT001 - of the command
    if dry_run:
        return f"{left} would be left"
    return f"{left} {'is' if left == 1 else 'are'} left"


def _show_change(result: "RedriveResult | PurgeResult", text: str, *, is_done: bool, as_json: bool) -> None:
    """Show what was done, and name the ids that no chosen dead letter has; then the command has failed.

    Raises:
        typer.Exit: There are some.
    """
    if is_done or as_json or not result.unknown:
        show_result(result, text, as_json=as_json)
    if result.unknown:
        unknown, listed = plain(", ".join(result.unknown)), plain(command("dead list", result.stream))
        fail(
            f"There is no such dead letter of {plain(result.stream)}: {unknown}. "
            f"`{listed}` shows those there are."
        )

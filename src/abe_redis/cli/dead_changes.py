"""dead bury, redrive and purge: changes of what groups gave up on."""

from typing import TYPE_CHECKING, Annotated

import typer

from abe_redis.cli.common import (
    AsJson,
    DryRun,
    Stream,
    Yes,
    at_terminal,
    confirm,
    stepwise,
    with_backend,
    with_scope,
)
from abe_redis.cli.common import show as show_result
from abe_redis.cli.dead import dead
from abe_redis.cli.dead_choice import Everything, Ids, LetterFilters
from abe_redis.cli.failure import MAY_BE_DONE, when_interrupted
from abe_redis.cli.filters import EventFilters
from abe_redis.cli.output import plain
from abe_redis.cli.spread import spread
from abe_redis.runtime.plurals import count
from abe_redis.runtime.shell import command

if TYPE_CHECKING:
    from abe_redis.schemas import PurgeResult, RedriveResult


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
    from abe_redis.operations.caller import Caller  # noqa: PLC0415
    from abe_redis.operations.scope import Scope  # noqa: PLC0415

    with when_interrupted(MAY_BE_DONE):
        result = with_backend(
            lambda backend: burying.bury(
                Scope(backend, origin="cli"),
                Caller(backend, origin="cli").consumer,
                entry_id,
                stream=stream,
                group=group,
                reason=reason,
            )
        )
    text = f"{count(len(result.buried), 'event')} of {plain(result.stream)} buried for {plain(result.group)}."
    if result.passed_over:
        them = f"{count(result.passed_over, 'event')} before it"
        text += (
            f" The group has moved past {them}, not delivered yet: nobody has what it moved past, it counts "
            "as pending, and the next consumer gets it first."
        )
    show_result(result, text, as_json=as_json)


@dead.command()
@spread
def redrive(
    stream: Stream,
    ids: Ids = None,
    *,
    everything: Everything = False,
    letters: LetterFilters,
    events: EventFilters,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to work, each to the group that gave up on it and to no other.

    They keep the order in which they were published, and their delivery counts start again at zero. Those of
    a topic's partitions stay; the answer says how many there are.

    Example: abe-redis dead redrive slack_events --reason Timeout --dry-run

    Example: abe-redis dead redrive slack_events --handler bot.answer --user U061F7AUR

    Example: abe-redis dead redrive slack_events 1732000000000-0 1732000000001-0
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = letters.choice(ids, everything=everything)
    asked = events.asked()
    with stepwise("redriving") as on_progress:
        result = with_scope(
            lambda scope: DeadLetters(scope, on_progress=on_progress).redrive(
                stream, choice, dry_run=dry_run, **asked
            )
        )
    done = "would go back to work" if dry_run else "went back to work"
    groups = ", ".join(f"{plain(name or '?')} {number}" for name, number in result.groups.items())
    text = f"{count(result.redriven, 'dead letter')} of {plain(result.stream)} {done}"
    text += f" (group {groups})" if groups else ""
    text += f"; {_left(result.left, dry_run)}."
    if result.same_event:
        text += f" Of these, {result.same_event} chosen stay, since newer ones of the same events go back."
    text += _how_to_choose(result.redriven, result.left, stream)
    _show_change(result, text, is_done=bool(result.redriven), as_json=as_json)


@dead.command()
@spread
def purge(
    stream: Stream,
    ids: Ids = None,
    *,
    everything: Everything = False,
    letters: LetterFilters,
    events: EventFilters,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good; those of a topic's partitions stay, and the answer says how many.

    Example: abe-redis dead purge slack_events --older-than 30d --yes
    """
    from abe_redis.operations.dead_letters import DeadLetters  # noqa: PLC0415

    choice = letters.choice(ids, everything=everything)
    asked = events.asked()
    if not dry_run:
        choice.check(is_filtered=any(asked.values()))
        what = "the chosen dead letters"
        if not yes and at_terminal():
            would = with_scope(lambda scope: DeadLetters(scope).purge(stream, choice, dry_run=True, **asked))
            what = count(would.purged, "dead letter")
        confirm(f"Remove {what} of {plain(stream)} for good?", yes=yes)
    with stepwise("purging") as on_progress:
        result = with_scope(
            lambda scope: DeadLetters(scope, on_progress=on_progress).purge(
                stream, choice, dry_run=dry_run, **asked
            )
        )
    done = "would be removed" if dry_run else "removed"
    text = f"{count(result.purged, 'dead letter')} of {plain(result.stream)} {done}; "
    text += f"{_left(result.left, dry_run)}.{_how_to_choose(result.purged, result.left, stream)}"
    _show_change(result, text, is_done=bool(result.purged), as_json=as_json)


def _how_to_choose(chosen: int, left: int, stream: str) -> str:
    """Where the names stand by which to choose, if none was chosen."""
    if chosen or not left:
        return ""
    shown = plain(command("dead summary", stream))
    return f" `{shown}` names the reasons and handlers, `{plain(command('dead list', stream))}` the events."


def _left(left: int, dry_run: bool) -> str:  # noqa: FBT001 - of the command
    if dry_run:
        return f"{left} would be left"
    return f"{left} {'is' if left == 1 else 'are'} left"


def _show_change(result: "RedriveResult | PurgeResult", text: str, *, is_done: bool, as_json: bool) -> None:
    """Show what was done, and name the ids that no chosen dead letter has; then the command has failed.

    Raises:
        typer.Exit: There are some.
    """
    note, error = f" {plain(result.note)}" if result.note else "", ""
    if result.unknown:
        unknown, listed = plain(", ".join(result.unknown)), plain(command("dead list", result.stream))
        error = (
            f"There is no such dead letter of {plain(result.stream)}: {unknown}. "
            f"`{listed}` shows those there are; `abe-redis dead show ID` looks in every stream.{note}"
        )
    show_result(result, text + note if not error else text * is_done, as_json=as_json, error=error)

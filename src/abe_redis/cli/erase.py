"""erase: the events of a user or a channel, removed from the streams."""

from typing import Annotated

import typer

from abe_redis.cli.app import REPAIR, app
from abe_redis.cli.common import AsJson, DryRun, Yes, at_terminal, confirm, progress, show, with_scope
from abe_redis.cli.failure import when_interrupted
from abe_redis.cli.output import plain
from abe_redis.runtime.plurals import count


def _counted(number: int, unfinished: int) -> str:
    """As in "3 events, 2 of them unfinished"."""
    which = "all unfinished" if unfinished == number > 1 else f"{unfinished} of them unfinished"
    which = "unfinished" if unfinished == number == 1 else which
    return f"{count(number, 'event')}{f', {which}' if unfinished else ''}"


@app.command(rich_help_panel=REPAIR)
def erase(
    *,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", help="A user id, such as U061F7AUR: what that user did or wrote, or is about that user."
        ),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", help="A channel id; with --user, only the user's events in that channel."),
    ] = None,
    mentions: Annotated[
        bool,
        typer.Option(
            "--mentions", help="Also erase events that only mention the id: what others wrote and did."
        ),
    ] = False,
    stream: Annotated[
        str | None,
        typer.Option(
            "--stream",
            "-s",
            help="Only this stream and its partitions, with their dead letters; by default all streams.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase a user's or a channel's events from the streams and their dead letters, finished or not.

    A user's are the events that the user did, messages that the user wrote, their edits and deletions, what
    is about the user as a person, such as a changed profile, and what has a message or a file of the user
    within it: a pin, a star, a shortcut or a button on the message, a quotation. Whatever else names the user
    only mentions the user: an answer in the user's thread, a reaction to the user's message, an invitation, a
    choice in a menu, a text. That goes with --mentions alone; without it, a line says how many such events
    there are.

    Handlers that work on such an event go on; none begins one afterwards. For that the command waits for the
    workers, three seconds at most, and names those that have not confirmed it.

    It does not touch events in an outbox on a machine's disk, what handlers have stored elsewhere, nor the
    reasons that somebody gave for a change or a burial, which the audit and dead letters keep. No command of
    Redis shows an erased event. But its bytes stay in memory and on disk until its neighbours in the stream
    are removed, too, and BGREWRITEAOF and BGSAVE have then written the files anew on each server and replica;
    backups hold them for good.

    Example: abe-redis erase --user U061F7AUR --dry-run
    """
    from abe_redis.operations.erasure import erase as erase_events  # noqa: PLC0415

    if not dry_run and (user or channel):
        whose = " and ".join(plain(one) for one in (user, channel) if one)
        what, which = "the events", ""
        if not yes and at_terminal():
            would = with_scope(
                lambda scope: erase_events(
                    scope, user=user, channel=channel, mentions=mentions, stream=stream, dry_run=True
                )
            )
            what = count(sum(one.erased for one in would.streams), "event")
            unfinished = sum(one.unfinished for one in would.streams)
            which = f" ({unfinished} unfinished)" if unfinished else ""
        confirm(f"Erase {what} of {whose} for good{which}?", yes=yes)
    some = "" if dry_run else ": some events may be erased already. The same command erases the rest"
    with when_interrupted(f"Interrupted{some}."), progress("searching") as on_progress:
        result = with_scope(
            lambda scope: erase_events(
                scope,
                user=user,
                channel=channel,
                mentions=mentions,
                stream=stream,
                dry_run=dry_run,
                on_progress=on_progress,
            )
        )
    lines = [f"{plain(one.stream)}: {_counted(one.erased, one.unfinished)}" for one in result.streams]
    total = sum(one.erased for one in result.streams)
    done = "would be erased" if dry_run else "erased"
    lines.append(f"{count(total, 'event')} {done}; {result.searched} searched.")
    if result.only_mentioned:
        more = count(result.only_mentioned, "more only mentions", "more only mention")
        lines.append(f"{more} the id; see --mentions.")
    if result.note:
        lines.append(result.note)
    show(result, "\n".join(lines), as_json=as_json)

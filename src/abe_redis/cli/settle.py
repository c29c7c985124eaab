"""ack and release: settling events that `read --group` has leased."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from abe_redis.cli.app import EVENTS, app
from abe_redis.cli.common import AsJson, Stream, show, with_operations
from abe_redis.cli.failure import MAY_BE_DONE, when_interrupted
from abe_redis.cli.output import plain
from abe_redis.runtime.shell import command, option
from abe_redis.schemas.stats import is_agent, is_person

if TYPE_CHECKING:
    from abe_redis.schemas import AckResult, ReadResult, ReleaseResult

Ids = Annotated[list[str], typer.Argument(help="The ids of the events, as `read --group` shows them.")]
Group = Annotated[str, typer.Option("--group", "-g", help="The consumer group in which they are leased.")]
Consumer = Annotated[
    str | None,
    typer.Option(
        "--consumer",
        help="The consumer that holds the events; by default you, for whom `read --group` leases. A worker "
        "of that name may begin what it has read ahead for about two seconds more.",
    ),
]


@app.command(rich_help_panel=EVENTS)
def ack(
    stream: Stream,
    ids: Ids,
    *,
    group: Group,
    consumer: Consumer = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Finish also what nobody holds: given back, postponed, or left."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Finish events that `read --group` has leased: the group does not get them again.

    What nobody holds stays as it is: it may be the retry of another event than you mean. Exit code: 1 if any
    of the events was not finished.

    Example: abe-redis ack slack_events 1732000000000-0 --group workers
    """
    with when_interrupted(MAY_BE_DONE):
        result = with_operations(
            lambda operations: operations.ack(
                stream=stream, group=group, ids=ids, consumer=consumer, force=force
            )
        )
    text = f"{len(result.acked)} acknowledged.{_beside(consumer) if result.acked else ''}"
    error = f"{_not_settled(result)} {_free(result, 'ack', consumer)}"
    show(result, text, as_json=as_json, error=error.strip())


@app.command(rich_help_panel=EVENTS)
def release(
    stream: Stream,
    ids: Ids,
    *,
    group: Group,
    consumer: Consumer = None,
    delay: Annotated[
        str,
        typer.Option(
            "--delay", help="Time before they are delivered again, such as 90s, 15m or 2h; at most 7d."
        ),
    ] = "0s",
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason", help="Why, for `audit`; `read --waiting` shows it while they are postponed."
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --delay: postpone also what nobody holds: given back, or left by its holder.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give leased events back unfinished; the delivery does not count. `dead bury` gives up on one.

    A postponed event, which waits for its next delivery, comes at once, or after --delay. What else
    nobody holds is free already, and stays so with --delay. Exit code: 1 if any is not as you asked.

    Example: abe-redis release slack_events 1732000000000-0 --group workers --delay 15m --reason "Bob looks"
    """
    from abe_redis.operations.positions import seconds  # noqa: PLC0415
    from abe_redis.schemas import MAX_DELAY_SECONDS  # noqa: PLC0415

    delay_seconds = seconds(delay)
    if delay_seconds > MAX_DELAY_SECONDS:
        raise typer.BadParameter(f"It is {delay}; at most 7d is possible.", param_hint="'--delay'")
    with when_interrupted(MAY_BE_DONE):
        result = with_operations(
            lambda operations: operations.release(
                stream=stream,
                group=group,
                ids=ids,
                consumer=consumer,
                delay_seconds=delay_seconds,
                reason=reason,
                force=force,
            )
        )
    whose = "Its" if len(result.released) == 1 else "Their"
    when = f" {whose} next delivery is in {delay}." if delay_seconds and result.released else ""
    is_done = not delay_seconds
    free = f" Free already: {plain(', '.join(result.free))}." if result.free and is_done else ""
    text = f"{len(result.released)} given back.{when}{free}{_beside(consumer) if result.released else ''}"
    options = [option("--delay", delay), *([] if reason is None else [option("--reason", reason)])]
    left = "" if is_done else _free(result, "release", consumer, *options)
    show(result, text, as_json=as_json, error=f"{_not_settled(result)} {left}".strip())


def _beside(consumer: str | None) -> str:
    """What a live worker may still do, if one is named."""
    if consumer is None or is_person(consumer) or is_agent(consumer):
        return ""
    return (
        f" If {plain(consumer)} is a worker, it may begin what it has read ahead for about two seconds more."
    )


def _not_settled(result: "AckResult | ReleaseResult") -> str:
    """The ids that were not settled, and why; empty if there are none."""
    sentences = []
    if result.unknown:
        sentences.append(
            f"Not pending in group {plain(result.group)} of {plain(result.stream)}: "
            f"{plain(', '.join(result.unknown))} (finished before, never leased, or not there)."
        )
    if result.not_held:
        look = _command("read", result.stream, [], result.group, None)
        sentences.append(
            f"Held by another consumer: {plain(', '.join(result.not_held))}. `{look} --pending` shows by "
            "which; name it with --consumer."
        )
    return " ".join(sentences)


def _free(result: "AckResult | ReleaseResult", name: str, consumer: str | None, *options: str) -> str:
    """What nobody holds, and was left alone; how to see why, and the command that settles it all the same."""
    if not result.free:
        return ""
    look = _command("read", result.stream, [], result.group, None)
    words = _command(name, result.stream, result.free, result.group, consumer, *options, "--force")
    does = "finishes" if name == "ack" else "postpones"
    them = "it" if len(result.free) == 1 else "them"
    return (
        f"Held by nobody, so left to the next consumer: {plain(', '.join(result.free))}. `{look} --waiting` "
        f"shows why; `{words}` {does} {them} all the same."
    )


def how_to_settle(result: "ReadResult", group: str, consumer: str | None) -> str:
    """The commands that settle what a read has leased."""
    ids = [event.id for event in result.events]
    them = "them" if len(ids) > 1 else "it"
    until = f"You have {result.lease_seconds:g} s; then others may take {them} (REDIS_STREAM_LEASE_SECONDS)."
    done = f"  When done: {_command('ack', result.stream, ids, group, consumer)}"
    back = f"  If not:    {_command('release', result.stream, ids, group, consumer)}"
    return f"{until}\n{done}\n{back}"


def how_to_see_leases(result: "ReadResult", group: str) -> str:
    """The command that shows what is leased in a group."""
    return f"To see what is leased: {_command('read', result.stream, [], group, None)} --pending"


def _command(name: str, stream: str, ids: Sequence[str], group: str, consumer: str | None, *more: str) -> str:
    options = [option("--group", group)]
    options += [option("--consumer", consumer)] if consumer is not None else []
    return command(name, stream, *ids, options=" ".join([*options, *more]))

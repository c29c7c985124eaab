"""The options that say which dead letters a command means."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from abe_redis.operations.dead_letter_choice import Choice
    from abe_redis.operations.filters import Asked

Ids = Annotated[
    list[str] | None,
    typer.Argument(help="Ids of dead letters, as `dead list` shows them, or of their events, as logs do."),
]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only those whose reason contains this text.")]
Group = Annotated[str | None, typer.Option("--group", "-g", help="Only those that this group gave up on.")]
EventType = Annotated[str | None, typer.Option("--event-type", help="Only events of this type.")]
Handler = Annotated[
    str | None,
    typer.Option(
        "--handler",
        help="Only those that this handler failed at, or this listener of a Bolt app.",
    ),
]
OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", help="Only those buried before that time, such as 90s, 15m, 2h or 30d ago."),
]


def choice_of(
    ids: list[str] | None,
    *,
    everything: bool,
    reason: str | None,
    group: str | None,
    event_type: str | None,
    older_than: str | None,
    handler: str | None,
) -> "Choice":
    """The choice that the options make."""
    from abe_redis.operations import positions  # noqa: PLC0415
    from abe_redis.operations.dead_letter_choice import Choice  # noqa: PLC0415

    return Choice(
        ids=ids or (),
        everything=everything,
        reason=reason,
        group=group,
        event_type=event_type,
        handler=handler,
        older_than_seconds=None if older_than is None else positions.seconds(older_than),
    )


def asked_of(
    *, channel: str | None, user: str | None, workspace: str | None, thread: str | None, contains: str | None
) -> "Asked":
    """The choice by the events that they were."""
    return {
        "channel": channel,
        "user": user,
        "workspace": workspace,
        "thread": thread,
        "contains": contains,
    }

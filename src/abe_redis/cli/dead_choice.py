"""The options that say which dead letters a command means."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from abe_redis.cli.filters import EventType, only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from abe_redis.operations.dead_letter_choice import Choice

Ids = Annotated[
    list[str] | None,
    typer.Argument(help="Ids of dead letters, as `dead list` shows them, or of their events, as logs do."),
]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


def none_of(number: int) -> str:
    """That of this many dead letters none matches."""
    match number:
        case 0:
            return "No dead letters."
        case 1:
            return "The only dead letter does not match."
        case _:
            return f"None of {number} dead letters matches."


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilters:
    """Which dead letters, by who gave up on them, why and when."""

    reason: Annotated[str | None, only("those whose reason contains this text")] = None
    group: Annotated[str | None, only("those that this group gave up on", "--group", "-g")] = None
    event_type: EventType = None
    older_than: Annotated[
        str | None, only("those buried before that time, such as 90s, 15m, 2h or 30d ago")
    ] = None
    handler: Annotated[
        str | None, only("those that this handler failed at, or this listener of a Bolt app")
    ] = None

    def choice(self, ids: "Sequence[str] | None" = None, *, everything: bool = False) -> "Choice":
        """The same for the operations, with the ids that were given.

        Raises:
            InvalidArgumentError: The time is none.
        """
        from abe_redis.operations import positions  # noqa: PLC0415
        from abe_redis.operations.dead_letter_choice import Choice  # noqa: PLC0415

        return Choice(
            ids=ids or (),
            everything=everything,
            reason=self.reason,
            group=self.group,
            event_type=self.event_type,
            handler=self.handler,
            older_than_seconds=None if self.older_than is None else positions.seconds(self.older_than),
        )

"""The options that say which events somebody wants to see or to count."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from abe_redis.operations.filters import Asked


def only(which: str, *names: str) -> Any:  # noqa: ANN401 - of typer
    """An option that chooses."""
    return typer.Option(*names, help=f"Only {which}.")


EventType = Annotated[str | None, only("events of this type")]
Since = Annotated[str | None, only("events from this point on, as in 2h (ago) or 2026-01-31T09:00")]
Until = Annotated[str | None, only("events before this point, as in 1h (ago)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilters:
    """What the events are about."""

    channel: Annotated[str | None, only("events in the channel of this id, as in C0LAN2Q65")] = None
    user: Annotated[str | None, only("events by the user of this id, as in U061F7AUR")] = None
    workspace: Annotated[str | None, only("events of the workspace of this id, as in T061EG9R6")] = None
    thread: Annotated[str | None, only("events of the thread whose root has this ts")] = None
    contains: Annotated[str | None, only("events that contain this text, in whatever case")] = None

    def asked(self) -> "Asked":
        """The same for the operations."""
        return {
            "channel": self.channel,
            "user": self.user,
            "workspace": self.workspace,
            "thread": self.thread,
            "contains": self.contains,
        }

"""The options that say which events somebody wants to see or to count."""

from typing import Annotated, Any

import typer


def _not_empty(given: str | None) -> str | None:
    """Refuse an empty value, as a variable gives that is not set: it matches no event, or every one."""
    if given == "":
        raise typer.BadParameter("it is empty. Give it a value, or leave the option out.")
    return given


def _only(which: str) -> Any:  # noqa: ANN401 - of typer
    """An option that chooses events."""
    return typer.Option(callback=_not_empty, help=f"Only events {which}.")


EventType = Annotated[str | None, _only("of this type")]
Channel = Annotated[str | None, _only("in the channel of this id, as in C0LAN2Q65")]
User = Annotated[str | None, _only("by the user of this id, as in U061F7AUR")]
Workspace = Annotated[str | None, _only("of the workspace of this id, as in T061EG9R6")]
Thread = Annotated[str | None, _only("of the thread whose root has this ts")]
Contains = Annotated[str | None, _only("that contain this text, in whatever case")]
Since = Annotated[str | None, _only("from this point on, as in 2h (ago) or 2026-01-31T09:00")]
Until = Annotated[str | None, _only("before this point, as in 1h (ago)")]

"""audit: the changes that people and agents made."""

from typing import Annotated, Any

import typer

from abe_redis.cli.app import INSPECT, app
from abe_redis.cli.common import AsJson, plain, show, with_backend


def _facts(facts: dict[str, Any]) -> str:
    """The subject of a change, as `name: value, value; name: value`."""
    return "; ".join(
        f"{name.replace('_', ' ')}: {_listed(value) if isinstance(value, list) else value}"
        for name, value in facts.items()
    )


_MOST_LISTED = 10


def _listed(values: list[object]) -> str:
    """The values of a list; --json has those that are left out."""
    rest = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return ", ".join(map(str, values[:_MOST_LISTED])) + rest


@app.command(rich_help_panel=INSPECT)
def audit(
    *,
    count: Annotated[int, typer.Option("--count", "-n", help="How many at most.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the changes that people and agents made, the newest first: when, from where, what and by whom.

    Example: abe-redis audit -n 50
    """
    from abe_redis.operations.audit import changes  # noqa: PLC0415
    from abe_redis.operations.scope import Scope  # noqa: PLC0415

    result = with_backend(lambda backend: changes(Scope(backend), count=count))
    lines = [
        f"{one.at:%Y-%m-%d %H:%M:%S}  {plain(one.origin)}  {plain(one.what.replace('_', ' '))}  "
        f"{plain(one.who)}  {plain(_facts(one.facts))}"
        for one in result.changes
    ]
    show(result, "\n".join(lines) or "Nobody has changed anything.", as_json=as_json)

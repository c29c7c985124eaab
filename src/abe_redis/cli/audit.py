"""audit: the changes that people and agents made."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from abe_redis.cli.app import INSPECT, app
from abe_redis.cli.common import AsJson, show, with_scope
from abe_redis.cli.output import plain
from abe_redis.runtime.plurals import when

if TYPE_CHECKING:
    from abe_redis.operations.scope import Scope
    from abe_redis.schemas import AuditResult


def _facts(facts: dict[str, Any]) -> str:
    """The subject of a change, as `name: value, value; name: value`."""
    said = [
        f"{name.replace('_', ' ')}: {_listed(value, facts.get(f'more {name}'))}"
        if isinstance(value, list)
        else f"{name.replace('_', ' ')}: {_said(value)}"
        for name, value in facts.items()
        # How many of a list were not recorded stands behind those that were.
        if not (name.startswith("more ") and isinstance(facts.get(name.removeprefix("more ")), list))
    ]
    return "; ".join(said)


def _said(value: object) -> object:
    """A fact as people say it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


_MOST_LISTED = 10


def _listed(values: list[object], unlisted: object) -> str:
    """The values of a list; --json has those that are left out, as far as they are recorded."""
    more = max(0, len(values) - _MOST_LISTED) + (unlisted if isinstance(unlisted, int) else 0)
    rest = f" and {more} more" if more else ""
    return ", ".join(map(str, values[:_MOST_LISTED])) + rest


async def _changes(scope: "Scope", *, stream: str | None, **which: Any) -> "AuditResult":  # noqa: ANN401
    """The changes; a stream of which there is none has to exist, since it may be mistyped."""
    from abe_redis.operations import topics  # noqa: PLC0415
    from abe_redis.operations.audit import changes  # noqa: PLC0415

    result = await changes(scope, stream=stream, **which)
    if stream is not None and not result.changes:
        name = scope.allowed(stream)
        async with scope.redis(f"looking for {name!r}") as redis:
            if not await topics.streams(redis, scope.patterns, name):
                await scope.check_known(redis, name)
    return result


@app.command(rich_help_panel=INSPECT)
def audit(
    *,
    count: Annotated[int, typer.Option("--count", "-n", help="How many at most.", min=1, max=1000)] = 20,
    since: Annotated[
        str | None, typer.Option(help="Only changes from this point on, as in 2h (ago) or 2026-01-31T09:00.")
    ] = None,
    who: Annotated[
        str | None,
        typer.Option(help="Only changes by those whose name contains this, as in mcp- for agents."),
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", "-s", help="Only changes to this stream and its partitions.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the changes that people and agents made, the newest first: when, from where, what and by whom.

    Example: abe-redis audit -n 50

    Example: abe-redis audit --since 1h --who mcp- --stream slack_events
    """
    result = with_scope(lambda scope: _changes(scope, count=count, since=since, who=who, stream=stream))
    lines = [
        f"{when(one.at)}  {plain(one.origin)}  {plain(one.what.replace('_', ' '))}  "
        f"{plain(one.who)}  {plain(_facts(one.facts))}"
        for one in result.changes
    ]
    is_choice = any(one is not None for one in (since, who, stream))
    nothing = "No change matches." if is_choice else "Nobody has changed anything."
    show(result, "\n".join(lines) or nothing, as_json=as_json)

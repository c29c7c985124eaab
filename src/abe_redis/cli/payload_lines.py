"""--lines: the payloads of events, one a line, as `publish --lines` takes them."""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from abe_redis.cli.failure import fail
from abe_redis.cli.output import plain, say
from abe_redis.errors import AbeRedisError
from abe_redis.runtime.plurals import count
from abe_redis.runtime.shell import quoted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from abe_redis.operations.carrying import Carried

Lines = Annotated[
    bool,
    typer.Option(
        "--lines",
        help="Print only payloads, one a line and the oldest first, for `publish --lines`: of all that "
        "match, unless --count says how many.",
    ),
]
MOST = 100
"""How many a page shows at most."""
_MOST_NAMED = 20


def page_size(number: int | None, default: int) -> int:
    """How many a page shows, by what was given.

    Raises:
        typer.BadParameter: More than that.
    """
    if number is not None and number > MOST:
        raise typer.BadParameter(
            f"it must be at most {MOST}. For what is behind, add --start with what the page before names; or "
            "print all payloads with --lines.",
            param_hint="'--count' / '-n'",
        )
    return default if number is None else number


async def print_lines(found: "AsyncGenerator[Carried]", *, most: int | None, what: str) -> None:
    """Print payloads as they come; stderr says which have none, and how to go on after a failure.

    Args:
        found: What is carried away.
        most: How many lines at most.
        what: What it is, in the singular.

    Raises:
        typer.Exit: Something was left out.
        AbeRedisError: Redis failed; what was printed before is whole.
    """
    from abe_redis.sanitize.untrusted import ascii_json  # noqa: PLC0415

    printed = left_out = by_agents = 0
    last: Carried | None = None
    try:
        async with aclosing(found):
            async for one in found:
                last = one
                if one.payload is None:
                    left_out += 1
                    if left_out <= _MOST_NAMED:
                        _say(f"Left out: {one.id} of {plain(one.stream)}, since {plain(one.flaw)}.")
                    continue
                say(ascii_json(one.payload))
                printed += 1
                by_agents += one.origin == "mcp"
                if printed == most:
                    break
    except (AbeRedisError, asyncio.CancelledError):
        if last is not None:
            _say(f"Printed before it: {printed}. Go on with --start {plain(quoted(last.place))}.")
        raise
    if not (printed or left_out):
        _say(f"No {what} matches.")
    if by_agents:
        _say(
            f"Of these, agents published {by_agents}. `publish --lines` gives them the origin cli, so a "
            "worker with --refuse-origin mcp does not know them any more."
        )
    if left_out:
        fail(f"{count(left_out, what)} left out, {count(printed, 'payload')} printed.")


def _say(sentence: str) -> None:
    say(f"abe-redis: {sentence}", to_stderr=True)

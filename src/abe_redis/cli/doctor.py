"""doctor: findings about the server and the queue in it."""

import dataclasses
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from abe_redis.cli.app import INSPECT, app
from abe_redis.cli.common import AsJson
from abe_redis.cli.output import plain, say, wraps

if TYPE_CHECKING:
    from abe_redis.doctor import Finding

_STYLES = {"problem": "bold red", "warning": "yellow", "ok": "green"}
"""The style of each severity, the worst first."""

_INDENT = " " * 23
_COLUMNS = 100 - len(_INDENT)
_WORD = re.compile(r"\([^)]*\)|\S+")
"""A word of an ACL rule; what is in parentheses belongs together."""


@app.command(rich_help_panel=INSPECT)
def doctor(
    *,
    settings: Annotated[
        bool,
        typer.Option(
            "--settings",
            help="Show the settings in force instead, each with where it comes from and without secrets.",
        ),
    ] = False,
    roles: Annotated[
        bool, typer.Option("--roles", help="Print also an ACL user for each role, where all is well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Examine the server and the queue in it, and say what is wrong and what to do.

    It changes nothing. A finding is a problem (it does harm, or soon will), a warning (it may do harm one
    day, or could not be examined), or ok. The commands that it shows are for redis-cli, except those that
    begin with abe-redis.

    Exit code: 0 when there is no problem, 1 when there is one, 2 when a setting is wrong.

    Example: abe-redis doctor

    Example: abe-redis doctor --settings

    Example: abe-redis doctor --json | jq '.findings[] | select(.severity != "ok")'
    """
    from abe_redis.doctor import examine  # noqa: PLC0415
    from abe_redis.sanitize.untrusted import ascii_json  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    if settings:
        in_force = Settings().in_force()
        if as_json:
            say(ascii_json({"settings": [dataclasses.asdict(one) for one in in_force]}, indent=2))
        else:
            width = max(len(one.variable) for one in in_force)
            for one in in_force:
                value = f"{one.value} ({one.note})" if one.note else one.value
                say(plain(f"{one.variable:{width}}  {one.origin:11}  {value}".rstrip()))
        return
    findings = anyio.run(examine, Settings())
    if as_json:
        say(ascii_json({"findings": [one.model_dump(mode="json") for one in findings]}, indent=2))
    else:
        _print(findings, roles=roles)
    if any(finding.severity == "problem" for finding in findings):
        raise typer.Exit(1)


def in_lines(command: str) -> list[str]:
    """A command as it is printed: a long ACL SETUSER, which adds to a user, as several short ones."""
    words = _WORD.findall(command)
    if len(command) <= _COLUMNS or words[:2] != ["ACL", "SETUSER"]:
        return [command] if command else []
    lines = [words[:3]]
    for word in words[3:]:
        if len(" ".join([*lines[-1], word])) > _COLUMNS and len(lines[-1]) > len(words[:3]):
            lines.append(words[:3])
        lines[-1] = [*lines[-1], word]
    return [" ".join(line) for line in lines]


def _print(findings: list["Finding"], *, roles: bool) -> None:
    """Print the worst first. Wrap sentences but not commands, so that these can be copied."""
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False)
    counts = []
    for severity, style in _STYLES.items():
        those = [finding for finding in findings if finding.severity == severity]
        counts.append(f"{len(those)} {severity}{'s' if severity != 'ok' and len(those) != 1 else ''}")
        for finding in those:
            lines = textwrap.fill(
                plain(f"{finding.found} {finding.advice}".rstrip()),
                max(console.width, 60) if wraps() else sys.maxsize,
                initial_indent=f"{severity:9}{finding.check:14}",
                subsequent_indent=_INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
            shown = Text(lines)
            shown.stylize(style, 0, len(severity))
            console.print(shown)
            for command in in_lines(plain(finding.command)) if roles or severity != "ok" else ():
                console.print(Text(f"{_INDENT}{command}"))
    say(f"{', '.join(counts)}.")

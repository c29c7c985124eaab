"""An agent has no shell: what a sentence tells people to do with a command, it is told in its own terms."""

import ast
import re
from pathlib import Path

import pytest

from abe_redis.mcp.commands import for_agent

SOURCE = Path(__file__).parents[3] / "src/abe_redis"
OF_PEOPLE = {"cli", "doctor", "dashboard", "worker", "bolt", "slack", "testing", "embedded", "observability"}
"""Packages whose sentences no tool answers with."""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("read it with `abe-redis dead list s`.", 'read it with read_stream(stream="s", dead=true).'),
        ("`abe-redis dead list` shows", "read_stream(dead=true) shows"),
        ("see `abe-redis dead summary 's x'`.", 'see count_events(stream="s x", by="reason").'),
        ("`abe-redis dead show 1-0` shows", 'read_stream(event_id="1-0", dead=true) shows'),
        ("see `abe-redis stats`,", "see stream_stats(),"),
        ("see `abe-redis stats s`,", 'see stream_stats(stream="s"),'),
        ("`abe-redis read s --group g`", 'read_stream(stream="s")'),
        ("`abe-redis read --event-id Ev1` finds", 'read_stream(event_id="Ev1") finds'),
        (
            "`abe-redis read s --group=-h --waiting`",
            'read_stream(stream="s", group="-h", waiting=true)',
        ),
        ("`abe-redis dead list -- --s`", 'read_stream(stream="--s", dead=true)'),
        (
            "`abe-redis group remove s 'g`h'` says, `abe-redis stats` too",
            "`abe-redis group remove s 'g`h'` (a command that the user can run) says, stream_stats() too",
        ),
        (
            "remove it with `abe-redis group remove s g --force`.",
            "remove it with `abe-redis group remove s g --force` (a command that the user can run).",
        ),
        ("`abe-redis stats 'not closed`", "`abe-redis stats 'not closed` (a command that the user can run)"),
        (
            "start a worker (`abe-redis worker x:y`)",
            "start a worker (`abe-redis worker x:y`, a command that the user can run)",
        ),
        ("`redis-cli info` says", "`redis-cli info` says"),
        (
            "`abe-redis doctor`, `abe-redis worker x:y`; `abe-redis stats`",
            "`abe-redis doctor` (a command that the user can run), `abe-redis worker x:y`; stream_stats()",
        ),
    ],
)
def test_a_command_becomes_a_call_or_is_named_as_the_users(said: str, told: str) -> None:
    assert for_agent(said) == told


def sentences() -> set[str]:
    """What the packages below the tools say that names a command, with X in place of each value."""
    found = set[str]()
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] in OF_PEOPLE:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            found |= {one for one in re.findall(r"`abe-redis [^`\n]+`", text) if "mcp" not in one.split()}
    return found


def test_no_sentence_sends_an_agent_to_a_shell() -> None:
    assert len(sentences()) >= 4
    for said in sentences():
        told = for_agent(said)
        assert "abe-redis" not in told or told.endswith(" (a command that the user can run)"), said

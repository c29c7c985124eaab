"""The exit codes of all commands: an empty answer is an answer, and what somebody names must be there."""

import shlex
import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.integration.cli.command_runs import at, run
from tests.integration.cli.test_help import commands
from tests.patience import PATIENCE
from tests.servers import Server

__all__ = ["at"]

TOPIC, MISSING = "slack_events", "slack:missing"

EMPTY = (
    *("read", "read --waiting", "read --contains x", "read --user U061F7AUR --since 1h"),
    *("count", "count --by reason", "count --dead", "count --waiting", "count --channel C061EG9SL"),
    *("stats", "stats --check", "audit", "audit --who nobody", "dead list", "dead list --reason x"),
    *("dead summary", "group list", "erase --user U061F7AUR --yes"),
)
"""They name nothing that has to be there."""

OF_A_STREAM = (
    *(
        "dead redrive {} --all",
        "dead redrive {} --reason x",
        "dead purge {} --all --yes",
        "read {} --waiting",
    ),
    *("read {} --contains x", "count {}", "count {} --dead", "count {} --by reason", "count {} --waiting"),
    *("stats {}", "dead list {}", "dead summary {}", "group list {}", "erase --user U061F7AUR -s {} --yes"),
)
"""They have an empty answer about a stream that is there, and none about one that is not."""

OF_A_GROUP = (
    *("read {} -g {}", "read {} -g {} --pending", "read {} -g {} --waiting", "count {} -g {} --waiting"),
    *(
        "group pause {} {}",
        "group resume {} {}",
        "group replay {} {} --from 1h",
        "group reset {} {} --from now",
    ),
    "group remove {} {}",
)
OF_AN_EVENT = (
    *("read {} --event-id Ev1", "dead show -s {} 1-0", "dead bury {} 1-0 -g workers --reason x"),
    *("dead redrive {} 1-0", "ack {} 1-0 -g workers", "release {} 1-0 -g workers"),
)
ALONE = {"publish", "doctor", "group create"}
"""Commands that are tried by other tests: what they are about need not be there, or is."""


def codes(lines: Iterable[str]) -> dict[str, int]:
    """The exit code of each line; each failure has its reason on stderr, or it is an answer on stdout."""

    found: dict[str, int] = {}
    for line in lines:
        result = run(*line.split())
        assert (result.stderr or result.stdout).strip(), line
        assert "Traceback" not in result.stderr, result.stderr
        found[line] = result.returncode
    return found


def ended(lines: Iterable[str], code: int) -> None:
    found = codes(lines)
    assert found == dict.fromkeys(found, code)


def test_every_command_that_answers_is_in_these_lists() -> None:
    lines = (*EMPTY, *OF_A_STREAM, *OF_A_GROUP, *OF_AN_EVENT)
    answering = {name for name, options in commands().items() if "--json" in options} - ALONE
    assert {name for name in answering if not any(line.startswith(f"{name} ") for line in lines)} <= {
        line for line in lines if line in answering
    }


@pytest.mark.usefixtures("at")
def test_an_empty_answer_is_0_and_what_was_named_and_is_missing_is_1(server: Server) -> None:
    ended(EMPTY, 0)  # not even a stream is there
    ended([line.format(MISSING) for line in (*OF_A_STREAM, *OF_AN_EVENT)], 1)
    ended([line.format(MISSING, "workers") for line in OF_A_GROUP], 1)
    ended(["read -g workers", "read -g workers --waiting", "count -g workers --waiting"], 1)
    with server.admin() as redis:
        redis.xadd(TOPIC, {"data": '{"type": "message"}'})
        redis.xgroup_create(TOPIC, "workers", "$")
    ended([*EMPTY, *(line.format(TOPIC) for line in OF_A_STREAM)], 0)
    ended([line.format(TOPIC) for line in OF_AN_EVENT], 1)
    ended([line.format(TOPIC, "typo") for line in OF_A_GROUP], 1)
    with_one = [line.format(TOPIC, "workers") for line in OF_A_GROUP]
    ended([f"{line} --force" if "reset" in line or "remove" in line else line for line in with_one], 0)


@pytest.mark.usefixtures("at")
def test_a_wrong_command_line_is_2() -> None:
    ended([f"{name} --nope" for name in commands()], 2)


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("stats --json >&-", 1, "stdout is closed, so not everything could be written."),
        ("stats >&-", 1, "stdout is closed, so not everything could be written."),
        ("worker nope:handle 2>&-", 2, ""),
        ("worker nope:handle 2>/dev/full", 2, ""),
        ("stats --nope 2>/dev/full", 2, ""),
    ],
)
def test_a_stream_that_cannot_be_written_changes_no_exit_code_for_the_better(
    line: str, code: int, words: str
) -> None:
    command = f"{shlex.quote(sys.executable)} -m abe_redis {line}"
    result = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False
    )
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr

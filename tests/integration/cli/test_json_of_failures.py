"""With --json, a command that fails prints one object with `error`: the sentence that stderr has, too."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.integration.cli.command_runs import at, run
from tests.integration.cli.test_exit_codes import MISSING, OF_A_GROUP, OF_A_STREAM, OF_AN_EVENT
from tests.integration.cli.test_help import commands
from tests.servers import Server

__all__ = ["at"]

NOWHERE = {"REDIS_URL": "redis://127.0.0.1:1", "REDIS_STREAM_OUTBOX": ""}
MORE = (
    *("publish {{}} -s {}", "group create {} {}", "audit -s {}", "group list {}", "dead show 1-0"),
    *("read {} -g {} --lines --waiting", "erase --user @bob --yes", "erase --user U061F7AUR"),
)
LINES = (
    *(line.format(MISSING, "workers") for line in (*OF_A_STREAM, *OF_A_GROUP, *OF_AN_EVENT)),
    *(line.format("elsewhere", "workers") for line in MORE),
)


def answering() -> list[str]:
    return [name for name, options in commands().items() if "--json" in options]


def error_of(result: subprocess.CompletedProcess[str]) -> Any:
    """The object on stdout, whose error is what stderr says."""
    found = json.loads(result.stdout)
    said = result.stderr.replace("abe-redis: ", " ").split()
    assert found["error"].split() == said, result.stderr
    return found


@pytest.mark.usefixtures("at")
def test_a_command_line_that_is_wrong() -> None:
    for name in answering():
        result = run(*name.split(), "--nope", "--json")
        assert result.returncode == 2
        assert error_of(result) == {"error": f"No such option: --nope. See `abe-redis {name} --help`."}, name


@pytest.mark.usefixtures("at")
def test_what_is_named_and_not_there() -> None:
    for line in LINES:
        if "--lines" not in line:
            result = run(*line.split(), "--json")
            assert result.returncode in {1, 2}, line
            error_of(result)


def test_every_command_is_in_a_list() -> None:
    tried = [line for line in LINES if line]
    assert {name for name in answering() if not any(one.startswith(f"{name} ") for one in tried)} == {
        "doctor"
    }


@pytest.mark.parametrize("line", ["read", "publish {}", "stats", "dead list", "group list", "count", "audit"])
def test_redis_that_is_away(line: str) -> None:
    result = run(*line.split(), "--json", **NOWHERE)
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert "could not be reached" in found["error"]
    assert ("problems" in found) == (line == "stats")


@pytest.mark.usefixtures("at")
def test_what_was_done_stands_beside_the_error(server: Server) -> None:
    with server.admin() as redis:
        entry = redis.xadd("slack_events", {"data": '{"type": "message"}'})
        redis.xgroup_create("slack_events", "g", "0")
    run("read", "-g", "g")
    found = error_of(run("ack", "slack_events", entry, "1-0", "-g", "g", "--json"))
    assert (found["acked"], found["unknown"]) == ([entry], ["1-0"])
    found = json.loads(run("publish", "--lines", "-", "--json", stdin='{"n": 1}\nno\n').stdout)
    assert (found["lines"], found["continue_with"]) == (1, "--from-line 2")
    assert found["error"].startswith("Line 2 is no JSON object")


@pytest.mark.usefixtures("at")
def test_without_json_nothing_stands_on_stdout() -> None:
    for line in ("read nope", "read --nope", "dead", "group"):
        result = run(*line.split(), COLUMNS=os.environ.get("COLUMNS", "120"))
        assert (result.stdout, result.returncode) == ("", 1 if line == "read nope" else 2)
        assert result.stderr.splitlines()[-1].startswith("abe-redis: ")


@pytest.mark.usefixtures("at")
def test_every_error_is_one_line_however_narrow_the_terminal_is() -> None:
    for line in ("ack slack_events 1-0", "read elsewhere-and-anywhere"):
        result = run(*line.split(), COLUMNS="40")
        (said,) = result.stderr.splitlines()
        assert said.startswith("abe-redis: ")

"""Our command lines in deploy/: every way has all of them, and they are started and asked alike."""

from itertools import pairwise

import pytest

from tests.deploy.command_lines import parsed
from tests.deploy.deployed import OURS
from tests.deploy.reading import (
    Program,
    programs,
)

SPARE = 5
"""Seconds that a worker has between the end of --drain and SIGKILL, to give back what is left."""


def listens(program: Program) -> set[int]:
    """The ports at which a program of ours or Slack's webhook listens."""
    if program.command[0] == "abe-redis":
        said = parsed(program.command[1:])
        return {said[name] for name in ("metrics_port", "port") if said.get(name)}
    words = program.command
    return {int(after) for word, after in pairwise(words) if word == "--port"}


def test_every_way_to_deploy_has_all_that_there_is() -> None:
    roles = {"worker", "mcp", "listen"}
    for kind in ("compose", "kubernetes", "systemd"):
        of_kind = [program for program in programs() if program.where.startswith(kind)]
        ours = {parsed(program.command[1:])["command"] for program in of_kind if program in OURS}
        assert ours == roles
        assert sum(program.command[0] == "slack-webhook-server" for program in of_kind) == 1


@pytest.mark.parametrize("program", OURS, ids=str)
def test_our_own_command_line_takes_it(program: Program) -> None:
    parsed(program.command[1:])


def test_the_webhook_is_started_in_one_way() -> None:
    """Its --help crashes, so what it takes is seen by starting it, which test_runs does with compose's."""
    starts = [program for program in programs() if program.command[0] == "slack-webhook-server"]
    assert {(program.command[1], *program.command[3:]) for program in starts} == {
        ("--host", "--port", "3000", "--no-env-file", "--log-dir=")
    }


@pytest.mark.parametrize("program", OURS, ids=str)
def test_a_draining_worker_gets_its_full_time(program: Program) -> None:
    if (drain := parsed(program.command[1:]).get("drain")) is not None:
        assert "--drain" in program.command, "let readers see it beside the grace period"
        assert program.grace >= drain + SPARE


@pytest.mark.parametrize("program", [one for one in programs() if one.asked or one.scraped], ids=str)
def test_a_program_is_asked_where_it_listens_and_never_about_redis(program: Program) -> None:
    for port, path in program.asked:
        assert port in listens(program)
        assert path == ("/healthz" if program in OURS else "/openapi.json")
    if program.where.startswith("kubernetes"):
        said = parsed(program.command[1:]) if program in OURS else {}
        assert program.scraped == said.get("metrics_port")
        assert said.get("metrics_host", "0.0.0.0") == "0.0.0.0"


def test_every_program_that_serves_is_asked() -> None:
    asked = {program.where for program in programs() if program.asked}
    assert asked == {
        f"{kind}{name}"
        for kind in ("compose ", "kubernetes abe-redis-")
        for name in ("webhook", "listener", "worker", "mcp")
    }

"""`--stream`, in every command that is about a stream: before or behind its other words."""

import json

import pytest

from tests.integration.cli.command_runs import answer, at, run
from tests.integration.cli.test_help import commands

__all__ = ["at"]

OTHER = "slack:other"
ABOUT_NONE = {"listen", "top", "demo", "mcp", "mcp install", "dashboard", "doctor"}


def test_every_command_about_a_stream_has_it_in_the_same_form() -> None:
    found = commands()
    assert {name for name, options in found.items() if "stream" in options and "-s" not in options} == set()
    assert {name for name, options in found.items() if "--stream" not in options} == ABOUT_NONE
    for name in ("read", "dead redrive", "group list"):
        said = " ".join(run(*name.split(), "--help").stdout.split())
        assert said.count("The stream") == 1, name


@pytest.mark.usefixtures("at")
def test_it_stands_for_the_first_argument() -> None:
    (published,) = [answer("publish", '{"type": "message"}', "-s", OTHER)["id"]]
    for line in (
        f"read {OTHER}",
        f"read -s {OTHER}",
        f"read --stream {OTHER} -n 1",
        f"read -n 1 --stream={OTHER}",
        f"read -s{OTHER} --contains message",
        f"count -s {OTHER}",
        f"dead list -s {OTHER}",
    ):
        assert answer(*line.split()).get("stream", OTHER) == OTHER, line
    assert [one["stream"] for one in answer("stats", "-s", OTHER)["streams"]] == [OTHER]
    answer("group", "create", "workers", "--stream", OTHER)
    assert answer("group", "list", "-s", OTHER)["groups"][0]["name"] == "workers"
    answer("read", "-s", OTHER, "-g", "workers")
    assert answer("ack", published, "-g", "workers", "-s", OTHER)["acked"] == [published]
    assert json.loads(run("dead", "redrive", "-s", OTHER, "--all", "--json").stdout)["redriven"] == 0
    assert answer("read", "-s", OTHER, "--contains", "--stream")["events"] == [], (
        "the value of another option"
    )


def test_two_streams_are_refused() -> None:
    for line, said in {
        f"read a --stream {OTHER}": f"The stream is given twice: as 'a', and with --stream as '{OTHER}'.",
        "count -s a --stream b": "given more than once",
        "read --count 2 -s": "requires an argument",
        "group pause -s a": "Missing argument",
    }.items():
        result = run(*line.split())
        assert result.returncode == 2, line
        assert said in " ".join(result.stderr.replace("│", "").split()), result.stderr

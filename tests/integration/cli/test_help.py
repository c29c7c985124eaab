"""`--help` and the list of commands: examples, JSON for scripts, and commands of other programs."""

import json
import re
import subprocess
import sys

import pytest

from abe_redis.cli import usage
from tests.integration.cli.command_runs import run


def commands() -> dict[str, list[str]]:
    """The options of each command, as an interpreter of its own sees them."""
    script = """
import json, typer.main, abe_redis.cli as cli
from contextlib import suppress
from unittest.mock import patch
from abe_redis.cli.app import app
with patch("typer.Typer.__call__"), suppress(SystemExit):
    cli.main()
def walk(command, name):
    if isinstance(command, typer.main.TyperGroup):
        if command.invoke_without_command:
            yield name, [option for one in command.params for option in one.opts]
        for each, inner in command.commands.items():
            yield from walk(inner, f"{name} {each}".strip())
    else:
        yield name, [option for one in command.params for option in one.opts]
print(json.dumps(dict(walk(typer.main.get_command(app), ""))))
"""
    found: dict[str, list[str]] = json.loads(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    )
    return found


def of_each_option() -> dict[str, str]:
    """What each command says to each option that takes one value, if that is given twice."""
    script = """
import json, typer.main, abe_redis.cli as cli
from contextlib import suppress
from unittest.mock import patch
from abe_redis.cli.app import app
from abe_redis.cli.option_values import refuse_second_values
with patch("typer.Typer.__call__"), suppress(SystemExit):
    cli.main()
said = {}
def walk(command, context):
    name = context.command_path
    for one in command.params:
        if one.param_type_name == "option" and not (one.multiple or one.is_flag):
            said[f"{name} {one.opts[0]}"] = ""
            try:
                refuse_second_values(command, context, [one.opts[0], "1", one.opts[-1], "2"])
            except Exception as error:
                said[f"{name} {one.opts[0]}"] = error.format_message()
    for each, inner in getattr(command, "commands", {}).items():
        walk(inner, inner.context_class(inner, info_name=each, parent=context))
top = typer.main.get_command(app)
walk(top, top.context_class(top, info_name="abe-redis"))
print(json.dumps(said))
"""
    found: dict[str, str] = json.loads(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    )
    return found


def test_help_names_every_option_and_variable_in_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name, options in commands().items():
        said = run(*name.split(), "--help").stdout
        assert {one for one in options if one.startswith("--") and one not in said} == set(), name
    of_mcp = run("mcp", "--help").stdout
    for whole in ("ABE_REDIS_MCP_TOKEN", "REDIS_STREAM_PATTERNS", "https://mcp.example.com/mcp"):
        assert whole in of_mcp


def test_help_says_where_the_documentation_is_and_python_shows_the_public_classes() -> None:
    assert "https://github.com/Chisanan232/abe-redis/tree/main/docs" in run("--help").stdout
    shown = subprocess.run(
        [sys.executable, "-c", "import abe_redis; help(abe_redis)"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in ("EventWorker", "RedisMessageQueueBackend", "Settings"):
        assert f"class {name}(" in shown


def test_every_command_that_answers_has_json_for_scripts() -> None:
    """But for those that serve, are watched, or edit a file of this machine."""
    others = {"mcp", "mcp install", "dashboard", "demo", "listen", "top", "worker"}
    found = commands()
    assert {name for name, options in found.items() if name and "--json" not in options} == others
    assert len(found) > 15


def test_a_command_of_other_programs_is_answered_with_one_of_ours() -> None:
    """Each answer is a command that exists, with options that it has; none is given for a command of ours."""
    found = commands()
    for family, meant in usage.MEANT_COMMANDS.items():
        for theirs, ours in meant.items():
            assert f"{family} {theirs}".strip() not in found
            name, *options = ours.split(" --")
            assert {f"--{one}" for one in options} <= set(found[name])


def test_help_teaches_by_example() -> None:
    assert run("--version").stdout.startswith("abe-redis ")
    overview = run("--help").stdout
    found = re.findall(r"^│ ([a-z]+) ", overview, re.MULTILINE)
    order = ["publish", "read", "ack", "release", "stats", "worker", "demo", "mcp", "erase", "dead"]
    assert [one for one in found if one in order] == order
    for command in ("publish", "read", "ack", "stats", "mcp", "demo"):
        assert run(command, "--help").returncode == 0
    for command in ("publish", "read", "ack", "release", "stats", "top"):
        assert f"Example: abe-redis {command}" in run(command, "--help").stdout


def test_worker_names_the_setting_after_which_a_function_loses_its_event() -> None:
    assert "REDIS_STREAM_MAX_HANDLING_SECONDS" in run("worker", "--help").stdout

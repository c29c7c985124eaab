"""The page of the commands' JSON has every command that prints it, with every field that it prints."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import typer

from abe_redis import cli
from abe_redis.cli.app import app
from tests.integration.cli.command_runs import at, run
from tests.servers import Server

__all__ = ["at"]

ROOT = Path(__file__).parents[2]
CHANGES_A_FILE = {"mcp install"}
"""Commands whose JSON is of the client's own form."""


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("json_outputs", ROOT / "docs/_ext/json_outputs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(group: Any, name: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each, inner in getattr(group, "commands", {}).items():
        full = f"{name} {each}".strip()
        found |= commands(inner, full) if getattr(inner, "commands", None) else {full: inner}
    return found


def test_every_command_that_prints_json_is_there(writer: ModuleType) -> None:
    with patch("typer.Typer.__call__"), pytest.raises(SystemExit):
        cli.main()
    every = commands(typer.main.get_command(app))
    printing = {name for name, one in every.items() if any("--json" in of.opts for of in one.params)}
    assert printing - CHANGES_A_FILE == set(writer.OUTPUTS)


def test_every_field_of_every_object_has_its_row(writer: ModuleType) -> None:
    page = writer.PAGE.read_text(encoding="utf-8")
    assert page == writer.page(), "run `make json`"
    for model in (*writer.OUTPUTS.values(), *writer.within()):
        for name, field in model.model_fields.items():
            assert field.exclude or f"| `{name}` | " in page, f"{model.__name__}.{name}"


@pytest.mark.usefixtures("at")
def test_what_commands_print_are_those_objects(writer: ModuleType, server: Server) -> None:
    assert run("publish", '{"type": "message"}', "--json").returncode == 0
    with server.admin() as client:
        client.xgroup_create("slack_events", "bot", "0")
    for line in (
        *("stats", "read", "read --group bot --waiting", "count", "group list", "dead list", "dead summary"),
        *("audit", "group pause slack_events bot", "dead redrive slack_events --all"),
    ):
        model: Any = next(of for name, of in writer.OUTPUTS.items() if line.startswith(name))
        printed = json.loads(run(*line.split(), "--json").stdout)
        fields = {name for name, field in model.model_fields.items() if not field.exclude}
        assert set(printed) == fields, line

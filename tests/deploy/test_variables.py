"""Variables and secrets in deploy/: each is read by somebody, and no secret has a value."""

import re
from pathlib import Path

import pytest

from tests.deploy.command_lines import variables
from tests.deploy.deployed import everything
from tests.deploy.reading import (
    DEPLOY,
    Program,
    manifests,
    programs,
)

FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix != ".pyc"]


@pytest.mark.parametrize("program", programs(), ids=str)
def test_every_variable_is_read_by_somebody(program: Program) -> None:
    assert set(program.variables) <= variables()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_that_is_named_exists(path: Path) -> None:
    """Also in comments, and in what people fill in."""
    named = set(re.findall(r"\b(?:ABE_REDIS|REDIS|SLACK|QUEUE)_[A-Z_]+\b", path.read_text("utf-8")))
    assert named <= variables()


def is_secret(name: str) -> bool:
    return re.search("PASSWORD|TOKEN|SECRET|AUTH", name) is not None


@pytest.mark.parametrize("program", programs(), ids=str)
def test_no_secret_has_a_value(program: Program) -> None:
    for name, value in program.variables.items():
        if is_secret(name):
            assert not value or re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), name


def test_the_examples_have_no_secrets_and_all_that_is_asked_for() -> None:
    lines = [
        line for line in (DEPLOY / "env.example").read_text("utf-8").splitlines() if line[:1] not in {"", "#"}
    ]
    given = dict(line.split("=", 1) for line in lines)
    assert not any(value for name, value in given.items() if is_secret(name))
    wanted = set(re.findall(r"\$\{(\w+):", (DEPLOY / "compose.yaml").read_text("utf-8")))
    assert set(given) == wanted

    secrets = [one for _, one in manifests(examples=True) if one["kind"] == "Secret"]
    assert {value for one in secrets for value in one["stringData"].values()} == {"REPLACE-ME"}
    there = {(one["metadata"]["name"], key) for one in secrets for key in one["stringData"]}
    assert there == {(one["name"], one["key"]) for one in everything("secretKeyRef")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_looks_like_a_secret(path: Path) -> None:
    assert not re.search(
        r"xox[a-z]-[A-Za-z0-9]|xapp-|\b[0-9a-f]{32}\b|://[^/\s]*:[^/\s]*@", path.read_text("utf-8")
    )

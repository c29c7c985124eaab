"""Commands print through one door."""

import ast
from pathlib import Path

import pytest

from tests.unit.test_house import PACKAGE

DOOR = PACKAGE / "cli/output.py"
OTHERS = [
    path for path in sorted((PACKAGE / "cli").rglob("*.py")) if path != DOOR and "demo" not in path.parts
]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_command_prints_through_the_door_that_escapes(path: Path) -> None:
    """Tables go to rich's console, with each name as `plain` text in a cell."""
    printed = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"print", "typer.echo", "typer.secho", "sys.stdout.write"}
    ]
    assert printed == []

"""The page of what Slack sends is the table that the code uses."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from abe_redis.events import kinds

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/slack-events.md"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slack_events", ROOT / "docs/_ext/slack_events.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_written_from_the_table(writer: ModuleType) -> None:
    assert PAGE.read_text(encoding="utf-8") == writer.page(), "run `make slack-events`"


def test_every_kind_has_its_row_with_all_that_is_said_of_it() -> None:
    head, *rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [row.replace("\\|", "").strip("| ").split(" | ") for row in rows if not row.startswith(head[:8])]
    kinds_there = [cell[0].strip("`") for cell in cells if len(cell) == 8]
    assert kinds_there == [kind.name for kind in kinds.KINDS]
    assert all(part for cell in cells for part in cell)

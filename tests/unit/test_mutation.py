"""The runner of mutants: it kills what a test notices, tells what none does, and leaves the source alone."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from tests.mutation import survivors
from tests.mutation.mutants import of_file
from tests.mutation.run import Project, run

ROOT = Path(__file__).parents[2]

ENGINE = '''"""Counts."""


def twice(count: int) -> int:
    """Nobody asks."""
    return count + count


def is_enough(count: int) -> bool:
    """Ten are."""
    return count >= 10
'''

TEST = """
from tiny.engine import is_enough, twice


def test_ten_are_enough() -> None:
    assert is_enough(10)
    assert not is_enough(9)
    assert is_enough(20)


def test_twice_is_called() -> None:
    twice(0)
"""


@pytest.mark.heavy
def test_an_obvious_mutant_is_killed_and_a_survivor_noticed(tmp_path: Path) -> None:
    (tmp_path / "src/tiny").mkdir(parents=True)
    (tmp_path / "src/tiny/__init__.py").touch()
    engine = tmp_path / "src/tiny/engine.py"
    engine.write_text(ENGINE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_tiny.py").write_text(TEST)
    (tmp_path / "pytest.ini").touch()
    project = Project(tmp_path, package="src/tiny", tests=("tests",))
    arguments = Namespace(
        files=["src/tiny/engine.py"], only="", workers=1, seconds=60, survivors=False, survey=False
    )

    outcome = {(mutant.owner, mutant.change): killer for mutant, killer in run(project, arguments)}

    killer = "tests/test_tiny.py::test_ten_are_enough"
    assert outcome["is_enough", "`count >= 10` → `(count > 10)` in `return count >= 10`"] == killer
    assert outcome["is_enough", "`10` → `20` in `return count >= 10`"] == killer
    assert outcome["twice", "`count + count` → `(count - count)` in `return count + count`"] is None
    assert {killer for (owner, _), killer in outcome.items() if owner == "twice"} == {None}
    assert {killer for (owner, _), killer in outcome.items() if owner == "is_enough"} == {killer}
    assert engine.read_text() == ENGINE
    assert len(json.loads((project.cache / "ledger.json").read_text())) == len(outcome)


SCRIPT = """
-- include: facts
if redis.call('XLEN', KEYS[1]) >= 3 and ARGV[1] ~= '(not' then -- not >= 3
  redis.call('XADD', KEYS[1], '*',
    'at', 1)
end
return 1
"""


def test_lua_is_changed_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "script.lua").write_text(SCRIPT)
    mutants = list(of_file(tmp_path, "script.lua"))
    changes = [mutant.change for mutant in mutants]
    assert {mutant.lua for mutant in mutants} == {SCRIPT.split("facts\n")[1]}
    assert (
        "`>=` → `>` in `if redis.call('XLEN', KEYS[1]) >= 3 and ARGV[1] ~= '(not' then -- not >= 3`"
        in changes
    )
    assert "without `redis.call('XADD', KEYS[1], '*', 'at', 1)`" in changes
    assert "without `return 1`" in changes
    assert not [change for change in changes if "`not`" in change]
    shorter = next(one for one in mutants if one.change.startswith("without `redis.call('XADD'"))
    assert "XADD" not in shorter.source
    assert "'at'" not in shorter.source


@pytest.mark.parametrize("path", sorted({row.path for row in survivors.rows(ROOT)}))
def test_the_list_of_survivors_names_only_what_exists(path: str) -> None:
    there = {(mutant.owner, mutant.change) for mutant in of_file(ROOT, path)}
    listed = [(row.owner, row.change) for row in survivors.rows(ROOT) if row.path == path]
    assert [one for one in listed if one not in there] == []
    assert len(listed) == len(set(listed))


def test_every_survivor_in_the_list_is_explained() -> None:
    assert survivors.rows(ROOT)
    assert [row for row in survivors.rows(ROOT) if len(row.why.split()) < 3] == []

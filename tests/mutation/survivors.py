"""The list in tests/mutation/survivors.md: what survives, and why that is all right."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.mutation.mutants import Mutant
from tests.mutation.run import Outcome

PAGE = "tests/mutation/survivors.md"


class Row(NamedTuple):
    """An explained survivor."""

    path: str
    owner: str
    change: str
    why: str


def rows(root: Path) -> list[Row]:
    """The list, change by change; a row may have several, of one reason."""
    found = []
    for line in (root / PAGE).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0].startswith("`"):
            path, owner, change, why = cells
            where = f"src/abe_redis/{path.strip('`')}", owner.strip("`")
            found += [Row(*where, one, why) for one in change.split("<br>")]
    return found


def row(mutant: Mutant, why: str) -> str:
    """A line of the list."""
    change = mutant.change.replace("|", r"\|")
    return f"| `{mutant.path.removeprefix('src/abe_redis/')}` | `{mutant.owner}` | {change} | {why} |"


def unexplained(root: Path, outcome: Outcome) -> list[Mutant]:
    """What survived and is not in the list."""
    explained = {found[:3] for found in rows(root)}
    return [
        mutant
        for mutant, killer in outcome
        if killer is None and (mutant.path, mutant.owner, mutant.change) not in explained
    ]

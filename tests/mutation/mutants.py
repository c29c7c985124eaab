"""All mutants of a file: each is the file with one small fault."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutation import lua, python


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one fault in it."""

    path: str
    owner: str
    """The function or constant; of a script, the whole."""
    change: str
    line: int
    source: str
    of: str
    """A digest of the owner before the change: for another one, the verdict does not hold."""
    lua: str
    """The part of the script that is its own; empty when it is Python."""

    @property
    def key(self) -> str:
        """What it is called in the ledger."""
        return f"{self.path}|{self.owner}|{self.change}"


def of_file(root: Path, path: str) -> Iterator[Mutant]:
    """All mutants of a file, from its beginning to its end."""
    source = (root / path).read_text(encoding="utf-8")
    is_lua = path.endswith(".lua")
    edits = lua.edits(source) if is_lua else python.edits(source)
    owners = {lua.OWNER: source} if is_lua else python.owners(source)
    times = Counter[tuple[str, str]]()
    for edit in sorted(edits, key=lambda one: one.start):
        times[edit.owner, edit.change] += 1
        again = times[edit.owner, edit.change]
        yield Mutant(
            path=path,
            owner=edit.owner,
            change=edit.change if again == 1 else f"{edit.change}, place {again}",
            line=source.count("\n", 0, edit.start) + 1,
            source=source[: edit.start] + edit.new + source[edit.end :],
            of=hashlib.sha256(owners[edit.owner].encode()).hexdigest()[:16],
            lua=lua.own_part(source) if is_lua else "",
        )

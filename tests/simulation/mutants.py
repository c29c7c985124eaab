"""Faults that the engine once had, put back into a copy of it: the simulator must find each again."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault, as a change of a file of `src/abe_redis`."""

    name: str
    path: str
    old: str
    new: str
    rules: frozenset[str]
    """What the checker says about it; one of them is enough."""
    seed: int = 0
    """A schedule that finds it, while the schedules of seeds stay what they are; else others are played."""
    by_hand: str = ""
    """The schedule that finds it, if seeds that do are rare."""
    also: tuple[tuple[str, str, str], ...] = ()
    """Further changes, each of a path, if the engine mends this one in two ways."""


MUTANTS = (
    Mutant(
        "a start of a handler is not counted",
        "streams/lua/hold.lua",
        "dated, 0, 'RETRYCOUNT', math.max(counted, deliveries), 'JUSTID', force)",
        "dated, 0, 'RETRYCOUNT', counted, 'JUSTID', force)",
        frozenset({"count fell", "too many starts"}),
        seed=147,
    ),
    Mutant(
        "what is postponed loses its count",
        "streams/lua/postpone.lua",
        "local deliveries = math.max(0, counted - uncounted, began)",
        "local deliveries = 0",
        frozenset({"count fell", "too many starts"}),
        seed=2,
    ),
    Mutant(
        "events are trimmed before a group exists",
        "streams/lua/trim.lua",
        "if #groups == 0 and not takes_unread then return -1, {}, -1 end",
        "",
        frozenset({"lost", "out of order"}),
        seed=15,
    ),
    Mutant(
        "what somebody dropped is not put back",
        "streams/lua/shared/holder.lua",
        "local others_took_it, may_be",
        "if row == nil then return 'unknown', 0 end\n  local others_took_it, may_be",
        frozenset({"lost"}),
        seed=45,
        also=(
            (
                "streams/lua/shared/vanished.lua",
                "if not (vanished or is_set_back or may_miss(known, pending, records, group, of, gone)) then",
                "if vanished or others or true then",
            ),
        ),
    ),
    Mutant(
        "who was sure of its lease takes back what others finished",
        "streams/lua/shared/holder.lua",
        "if others_took_it or not",
        "if others_took_it and not sure or not",
        frozenset({"again though done"}),
        by_hand="late command",
        also=(
            (
                "consuming/settling.py",
                "return partial(self.is_sure, held)",
                "is_sure = self.is_sure(held); return lambda: is_sure",
            ),
        ),
    ),
    Mutant(
        "a lease lasts as long as the taker's",
        "streams/lua/reclaim.lua",
        "local ms = lease_of(row[1], said, longest)",
        "local ms = lease_ms",
        frozenset({"again though done", "twice at once"}),
        by_hand="mixed leases",
    ),
)


def search(mutant: Mutant, directory: Path, *, schedules: int = 150) -> str:
    """Play schedules with the fault until one fails.

    Returns:
        What the simulator says.
    """
    source = directory / "src"
    shutil.copytree(ROOT / "src", source)  # also what was compiled of the files that are not changed
    for name, old, new in ((mutant.path, mutant.old, mutant.new), *mutant.also):
        path = source / "abe_redis" / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise AssertionError(f"{name} has {text.count(old)} places of {old!r}, not one.")
        path.write_text(text.replace(old, new), encoding="utf-8")
    chosen = ["--by-hand", mutant.by_hand] if mutant.by_hand else ["--seed", str(mutant.seed)]
    said = _play(source, "--whole", *chosen)
    if mutant.by_hand or rules_in(said) & mutant.rules:
        return said
    others = ["--until-failure", "--workers", "1", "--shown", "0", "--schedules", str(schedules)]
    return _play(source, *others)


def _play(source: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def rules_in(said: str) -> set[str]:
    """The rules that were broken, by what the simulator says."""
    match = re.search(r"broke a promise: (.*)", said)
    counted = match[1].split(", ") if match else []
    return {re.sub(r" \d+$", "", one) for one in counted} | set(re.findall(r"(?m)^\[(.+?)\]", said))

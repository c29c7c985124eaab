"""The simulator finds the faults that the engine once had, when they are put back; the engine has none."""

from pathlib import Path

import pytest

from tests.simulation.by_hand import BY_HAND
from tests.simulation.mutants import MUTANTS, Mutant, rules_in, search
from tests.simulation.play import play
from tests.simulation.schedule import generate


@pytest.mark.heavy
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name.replace(" ", "-"))
def test_a_fault_that_is_put_back_is_found(mutant: Mutant, tmp_path: Path) -> None:
    said = search(mutant, tmp_path)
    assert rules_in(said) & mutant.rules, said


@pytest.mark.parametrize("name", BY_HAND)
def test_the_engine_keeps_its_promise_in_a_schedule_made_by_hand(name: str) -> None:
    assert play(BY_HAND[name]).violations == []


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_the_engine_keeps_its_promise(first: int) -> None:
    broken = {
        seed: outcome.violations
        for seed in range(first, first + 40)
        if (outcome := play(generate(seed))).violations
    }
    assert broken == {}

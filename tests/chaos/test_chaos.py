"""The short form of `make chaos`, and the proof that it can fail."""

import asyncio

import pytest

from tests.chaos.faults import schedule
from tests.chaos.run import Run
from tests.server_binaries import any_binary


@pytest.mark.long
@pytest.mark.promise("Each group processes an accepted event at least once.")
def test_nothing_is_lost_and_nothing_is_left() -> None:
    binary = any_binary()
    assert binary is not None
    account = asyncio.run(Run(binary, seed=3, events=2000, seconds=8).play())
    assert len(account.accepted) == 2000
    assert account.lost == set()
    assert account.pending == account.orphans == account.dead_letters == 0
    assert account.stray_keys == []
    assert account.violations == []


@pytest.mark.heavy
@pytest.mark.long
def test_the_loop_that_acks_first_loses_some() -> None:
    binary = any_binary()
    assert binary is not None
    account = asyncio.run(Run(binary, seed=3, events=2000, seconds=8, naive=True).play())
    assert account.lost


def test_the_same_seed_is_the_same_schedule() -> None:
    assert schedule(7, 20) == schedule(7, 20) != schedule(8, 20)

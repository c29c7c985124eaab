"""The age of what waits in the outbox is never taken for less than it is, whatever the wall clock does."""

import math
import time

import pytest

from abe_redis.publishing.outbox_ages import Ages
from abe_redis.runtime import clock


class Clocks:
    """The two clocks of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.boottime = 1_800_000_000.0, 100.0
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(clock, "now", lambda: self.boottime)

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.boottime += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def test_the_time_that_goes_by_is_the_age(clocks: Clocks) -> None:
    ages, began = Ages(), clocks.wall
    clocks.go_on(90)
    assert ages.most(began) == 90


def test_steps_back_are_added(clocks: Clocks) -> None:
    ages, began = Ages(), clocks.wall
    for _ in range(2):
        clocks.go_on(7200)
        clocks.wall -= 7190
        ages.most(began)
    clocks.go_on(10)
    assert ages.most(began) == 14_410


def test_what_comes_when_the_clock_has_caught_up_is_as_old_as_it_looks(clocks: Clocks) -> None:
    ages = Ages()
    clocks.wall -= 3600
    assert ages.most(clocks.wall) == 3600, "the clock shows this time twice"
    clocks.go_on(3601)
    assert ages.most(clocks.wall) == 0


@pytest.mark.parametrize(("step", "age"), [(-0.5, 9.5), (60, 70)])
def test_what_slews_the_clock_is_no_step_and_one_ahead_makes_it_older(
    clocks: Clocks, step: float, age: float
) -> None:
    ages, began = Ages(), clocks.wall
    clocks.go_on(10)
    clocks.wall += step
    assert ages.most(began) == age


def test_the_age_of_what_is_still_to_come_is_not_known(clocks: Clocks) -> None:
    assert Ages().most(clocks.wall + 5) == math.inf
    assert Ages().most(clocks.wall + 0.5) < 1, "a clock that was slewed"

"""The clock of leases: it goes on during a suspension, and a second witness says when it may not have."""

import math
import time

import pytest

from abe_redis.runtime import clock
from abe_redis.runtime.clock import LeaseClock, best_source


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.mark.parametrize("steps", [(0.9, 0.9, 0.9), (-600.0,), (-600.0, 0.5), (0.0,)])
def test_a_wall_clock_that_is_corrected_little_or_back_is_no_pause(steps: tuple[float, ...]) -> None:
    boot, wall = Hands(), Hands()
    both = LeaseClock(boot, wall)
    for step in steps:
        boot.at += 60
        wall.at += 60 + step
        assert both.doubted_at() == -math.inf


def test_a_wall_clock_that_jumps_ahead_may_be_a_pause_each_time_once() -> None:
    boot, wall = Hands(), Hands()
    both = LeaseClock(boot, wall)
    for at in (1005.0, 1025.0):
        boot.at, wall.at = at, wall.at + 30
        assert both.doubted_at() == at
        boot.at, wall.at = boot.at + 10, wall.at + 10
        assert both.doubted_at() == at, "what was learned since is certain"
    wall.at -= 600  # set back, and forward again
    assert both.doubted_at() == 1025
    wall.at += 600
    assert both.doubted_at() == boot.at


@pytest.mark.promise("A process measures leases by a clock that runs while its machine is suspended")
def test_the_clock_is_one_that_goes_on_where_the_system_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "CLOCK_MONOTONIC", 1, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {7: 77.0, 1: 11.0}.__getitem__)
    assert best_source("linux")() == 77
    assert best_source("darwin")() == 11, "where the monotonic clock of this name goes on"


def test_without_such_a_clock_it_is_the_monotonic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> float:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", refuse)
    assert best_source("linux") is time.monotonic
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert best_source("win32") is time.monotonic


def test_the_clock_goes_on() -> None:
    before = clock.now()
    assert before <= clock.now()
    assert clock.doubted_at() <= clock.now()

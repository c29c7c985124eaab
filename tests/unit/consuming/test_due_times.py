"""The times at which a consumer looks for what it has postponed: never too early, and together."""

import math

import pytest

from abe_redis.consuming.due_times import LONGEST_SECONDS, STEP_SECONDS, DueTimes

READY = ("s", "t")


def test_nothing_is_due_where_nothing_is_postponed() -> None:
    times = DueTimes()
    assert times.next_at == math.inf
    assert times.take(1e9, READY) == []


@pytest.mark.parametrize("delay", [0.001, 0.0499, 0.05, 1, LONGEST_SECONDS])
@pytest.mark.parametrize("now", [0.0, 0.049, 7.3, 1e6 + 0.01])
def test_a_look_comes_after_the_event_is_due_and_within_a_step(now: float, delay: float) -> None:
    times = DueTimes()
    times.note("s", now, delay)
    at = times.next_at
    assert now + delay < at < now + delay * 1.002 + 0.002 + STEP_SECONDS
    assert times.take(at - 0.001, READY) == []
    assert times.take(at, READY) == ["s"]
    assert times.take(at + 100, READY) == [], "each time is told once"


def test_an_event_without_a_delay_is_looked_for_at_once() -> None:
    times = DueTimes()
    times.note("s", 7.301, 0)
    assert times.next_at <= 7.301
    assert times.take(7.301, READY) == ["s"]


def test_a_longer_delay_is_left_to_the_rounds() -> None:
    times = DueTimes()
    times.note("s", 0, LONGEST_SECONDS + 0.1)
    assert times.next_at == math.inf


def test_what_is_due_in_one_step_is_looked_for_together_and_once_for_each_stream() -> None:
    times = DueTimes()
    for stream, now in (("t", 1.001), ("s", 1.002), ("s", 1.003), ("elsewhere", 1.004), ("s", 2)):
        times.note(stream, now, 0.01)
    assert times.take(1.5, READY) == ["s", "t"]
    assert times.take(3, READY) == ["s"]


def test_a_look_that_found_all_it_could_take_is_repeated_at_once() -> None:
    times = DueTimes()
    times.look_again(["s"], 7.301)
    assert times.next_at <= 7.301
    assert times.take(7.301, READY) == ["s"]

"""How far ahead events are leased, by what the handler does."""

import pytest

from abe_redis.consuming import prefetch
from abe_redis.consuming.prefetch import FAST_SECONDS, MOST_AHEAD, MOST_AHEAD_BYTES, SLOW_SECONDS, Prefetch


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(prefetch, "time", clock)
    return clock


def sped_up(clock: Clock) -> tuple[Prefetch, int]:
    """A pace as fast as it gets, and how many events it took."""
    prefetch, handled = Prefetch(), 0
    for _ in range(20):
        handled += prefetch.batch
        clock.now += FAST_SECONDS / 10
        prefetch.note_batch(handled, 1000)
    return prefetch, handled


def test_one_at_a_time_at_first() -> None:
    prefetch = Prefetch()
    assert (prefetch.ahead, prefetch.batch) == (1, 1)
    assert prefetch.has_room(0)
    assert not prefetch.has_room(1)


def test_as_far_as_the_bound_when_the_handler_is_fast(clock: Clock) -> None:
    prefetch, _ = sped_up(clock)
    assert (prefetch.ahead, prefetch.batch) == (MOST_AHEAD, MOST_AHEAD // 2)
    assert prefetch.has_room(MOST_AHEAD // 2)
    assert not prefetch.has_room(MOST_AHEAD // 2 + 1)


def test_reads_that_follow_each_other_are_no_sign_of_a_fast_handler(clock: Clock) -> None:
    prefetch = Prefetch()
    for _ in range(20):
        clock.now += FAST_SECONDS / 100
        prefetch.note_batch(1, 1000)
    assert prefetch.ahead <= 2


def test_less_when_the_handler_turns_slow(clock: Clock) -> None:
    prefetch, handled = sped_up(clock)
    before = prefetch.ahead
    clock.now += FAST_SECONDS
    prefetch.note_batch(handled + prefetch.batch, 1000)
    assert prefetch.ahead == before // 2


def test_one_at_a_time_when_nobody_asks(clock: Clock) -> None:
    prefetch, _ = sped_up(clock)
    clock.now += SLOW_SECONDS + 1
    assert prefetch.is_slow(clock.now - SLOW_SECONDS - 0.5)
    assert prefetch.ahead == 1


def test_large_events_are_a_bound_of_their_own(clock: Clock) -> None:
    prefetch, handled = sped_up(clock)
    prefetch.note_batch(handled, MOST_AHEAD_BYTES // 10)
    assert prefetch.ahead == MOST_AHEAD_BYTES // (MOST_AHEAD_BYTES // 10)
    prefetch.note_batch(handled, 2 * MOST_AHEAD_BYTES)
    assert prefetch.ahead == 1


def test_twice_as_far_when_fast_and_half_when_slow(clock: Clock) -> None:
    prefetch, handled, seen = Prefetch(), 0, []
    for seconds in (9, 0.05, 0.05, 0.05, 0.11, 0.05, 0.09, 9, 9, 9, 9, 9):
        prefetch.note_batch(handled, 1)
        clock.now += seconds
        handled += prefetch.batch
        prefetch.note_batch(handled, 1)
        seen.append((prefetch.ahead, prefetch.batch))
    ahead = [1, 2, 4, 8, 4, 8, 16, 8, 4, 2, 1, 1]
    assert seen == [(count, max(1, count // 2)) for count in ahead]


def test_a_batch_that_is_not_handled_yet_says_nothing(clock: Clock) -> None:
    prefetch, handled = sped_up(clock)
    clock.now += 10
    prefetch.note_batch(handled + prefetch.batch - 1, 1)
    assert prefetch.ahead == MOST_AHEAD
    prefetch.note_batch(handled + prefetch.batch, 1)
    assert prefetch.ahead == MOST_AHEAD // 2


def test_a_handler_that_asks_in_time_is_not_slow(clock: Clock) -> None:
    prefetch, _ = sped_up(clock)
    assert not prefetch.is_slow(clock.now)
    assert not prefetch.is_slow(clock.now - SLOW_SECONDS)
    assert prefetch.ahead == MOST_AHEAD

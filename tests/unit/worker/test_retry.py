"""What a failure means by default."""

import pytest

from abe_redis import Backoff, Bury, Event, Retry


def failed(deliveries: int) -> Event:
    return Event({}, stream="s", group="g", id="1-0", deliveries=deliveries)


def delays(backoff: Backoff, deliveries: int) -> list[float]:
    decisions = [backoff(failed(deliveries), ValueError()) for _ in range(300)]
    return [decision.delay for decision in decisions if isinstance(decision, Retry)]


@pytest.mark.promise("delivers the event again, after a delay that doubles each time.")
@pytest.mark.parametrize(("deliveries", "most"), [(1, 1), (2, 2), (4, 8)])
def test_by_default_a_delay_doubles_and_is_spread(deliveries: int, most: float) -> None:
    found = delays(Backoff(), deliveries)
    assert len(found) == 300
    assert most / 2 <= min(found) < 0.6 * most
    assert 0.9 * most < max(found) <= most


@pytest.mark.promise("After `REDIS_STREAM_MAX_DELIVERIES` (5) deliveries it buries the event")
def test_by_default_the_fifth_delivery_is_the_last() -> None:
    for deliveries in (5, 6):
        decision = Backoff()(failed(deliveries), ValueError("x"))
        assert decision == Bury(f"handler failed {deliveries} times, last with ValueError: x")
    assert delays(Backoff(deliveries=4), 4) == []
    assert Retry().delay == 0


@pytest.mark.parametrize("deliveries", [12, 100, 200, 5000])
def test_no_delay_is_longer_than_its_bound(deliveries: int) -> None:
    found = delays(Backoff(deliveries=10_000), deliveries)
    assert min(found) >= 150
    assert 270 < max(found) <= 300

"""How an event came is read as it was written, and what is no arrival is none."""

import copy
import pickle

import pytest

from abe_redis.events.arrival import ARRIVAL, Arrival, arrival_of
from abe_redis.events.event import Event
from abe_redis.events.view import slack_event

WHOLE = Arrival(path="socket", retry_num=2, retry_reason="timeout", envelope_id="e-1")


@pytest.mark.parametrize("arrival", [WHOLE, Arrival(path="http")])
def test_an_arrival_is_read_as_written(arrival: Arrival) -> None:
    assert arrival_of({ARRIVAL: arrival.written()}) == arrival


@pytest.mark.parametrize("field", [b"", b"\xff", b"[]", b'"http"', b'{"path": "pigeon"}', b'{"path": []}'])
def test_a_field_that_is_no_arrival_is_ignored(field: bytes) -> None:
    assert arrival_of({ARRIVAL: field}) is None
    assert arrival_of({}) is None


def test_odd_facts_of_an_arrival_are_left_out() -> None:
    odd = b'{"path": "http", "retry_num": "x", "retry_reason": 1, "envelope_id": []}'
    assert arrival_of({ARRIVAL: odd}) == Arrival(path="http")


def test_views_and_copies_know_how_the_event_came() -> None:
    event = Event({"type": "event_callback"}, stream="s", group="g", id="1-0", deliveries=1, arrival=WHOLE)
    for one in (
        copy.copy(event),
        copy.deepcopy(event),
        pickle.loads(pickle.dumps(event)),  # noqa: S301 - our own
        slack_event(event),
    ):
        assert one.arrival == WHOLE

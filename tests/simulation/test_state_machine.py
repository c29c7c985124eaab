"""What Hypothesis finds in the small scale: nothing in the engine, and faults that are put back."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis.stateful import run_state_machine_as_test

from abe_redis.events.published import Published
from abe_redis.publishing.publisher import Publisher
from abe_redis.streams import dead, manage
from tests.simulation.state_machine import ALWAYS_THE_SAME, OtherHands, Queue


def test_the_engine_keeps_its_promise_whatever_happens_in_the_small_scale() -> None:
    run_state_machine_as_test(Queue, settings=ALWAYS_THE_SAME)


async def _pause_nothing(*_: object, **__: object) -> bool:
    return True


def _is_due(self: Publisher, stream: str, published: Published) -> bool:
    return time.monotonic() >= self._announced.get(stream, 0)


def _redrive(state: Queue) -> None:
    state.publish(stream="slack:a", count=1, seconds=0.0, fails=9)
    state.wait(seconds=1.2)
    state.redrive(stream="slack:a", group="g", twice=True)


def _pause(state: Queue) -> None:
    state.wait(seconds=1.2)
    state.operate(what="pause", stream="slack:a", group="g")
    state.wait(seconds=2.6)
    state.publish(stream="slack:a", count=1, seconds=0.0, fails=0)
    state.wait(seconds=0.4)


def _flush(state: Queue) -> None:
    state.wait(seconds=0.03)
    state.flush()
    state.wait(seconds=2.6)
    state.publish_again(at=0)


@pytest.mark.parametrize(
    ("steps", "owner", "name", "fault", "rule"),
    [
        (_redrive, dead, "ONLY", b"abe:first", "[not again]"),
        (_pause, manage, "pause", _pause_nothing, "[paused]"),
        (_flush, Publisher, "_is_due", _is_due, "[stuck]"),
    ],
    ids=["a redriven event is for nobody", "a pause is only said", "a stream is announced only once"],
)
def test_a_fault_that_is_put_back_is_seen(
    steps: Callable[[Queue], None],
    owner: object,
    name: str,
    fault: object,
    rule: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def play() -> None:
        state = Queue()
        state.begin(seed=1, limit=1, concurrency=1, both=False)
        steps(state)
        state.teardown()

    play()
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(AssertionError, match=re.escape(rule)):
        play()


@pytest.mark.parametrize("is_listed", [False, True], ids=["at the start", "when pending entries were listed"])
def test_what_an_owner_was_given_comes_though_the_answer_and_its_consumer_are_lost(is_listed: bool) -> None:
    queue = OtherHands()
    queue.begin(seed=4, concurrency=1, limit=2, maxlen=10_000, both=True, delay=0.3)
    queue.wait(seconds=2.6 if is_listed else 0.03)
    queue.publish_many(stream="slack:a", count=2, fails=0)
    if is_listed:
        queue.wait(seconds=0.005)
    queue.restart()
    queue.remove_consumer(at=0, group="o", stream="slack:a")
    queue.teardown()  # which checks

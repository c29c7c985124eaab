"""What Hypothesis finds in the small scale: nothing in the engine, and faults that are put back."""

import re
import sys
from collections.abc import Callable

import pytest
from hypothesis.stateful import run_state_machine_as_test

from abe_redis.publishing.announcer import Announcer
from abe_redis.streams import dead, manage
from abe_redis.streams.scripts import Script
from tests.simulation.other_hands import OtherHands
from tests.simulation.state_machine import ALWAYS_THE_SAME, LEASE, Queue


def test_the_engine_keeps_its_promise_whatever_happens_in_the_small_scale() -> None:
    run_state_machine_as_test(Queue, settings=ALWAYS_THE_SAME)


async def _pause_nothing(*_: object, **__: object) -> bool:
    return True


def _forget(_self: Announcer, _stream: str) -> None:
    pass


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
        (_flush, Announcer, "forget", _forget, "[stuck]"),
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


def _trims(state: OtherHands) -> None:
    state.wait(seconds=2.6)
    state.publish(stream="slack:a", count=1, seconds=0.0, fails=1)
    state.wait(seconds=0.1)
    state.meddle(at=0, acks=True)
    state.publish_many(stream="slack:a", count=5, fails=0)
    state.wait(seconds=0.4)


def _drops(state: OtherHands) -> None:
    state.wait(seconds=2.6)
    state.publish(stream="slack:a", count=1, seconds=1.2, fails=0)
    state.wait(seconds=0.1)
    state.fail(what="kill", who=0, value=0.0)
    state.remove_consumer(stream="slack:a", group="g", at=0)


def _mixes(state: OtherHands) -> None:
    state.fail(what="stop", who=0, value=0.0)
    state.start_worker(group="g", lease=8 * LEASE)
    state.wait(seconds=2.6)
    state.publish(stream="slack:a", count=1, seconds=3.0, fails=0)
    state.wait(seconds=0.1)
    state.start_worker(group="g")
    state.wait(seconds=2.6)


@pytest.mark.parametrize(
    ("steps", "old", "new", "rule"),
    [
        (_trims, "if postponed[at] then", "if false then", "[lost]"),
        (_drops, "local what = put_back_one(", "local what = 0 or put_back_one(", "[lost]"),
        (_mixes, "local ms = lease_of(row[1], said, longest)", "local ms = lease_ms", "[twice at once]"),
    ],
    ids=["what waits for its retry is trimmed", "what vanished stays away", "a lease is the taker's"],
)
def test_a_fault_that_is_put_back_into_a_script_is_seen(
    steps: Callable[[OtherHands], None], old: str, new: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedules by chance seldom come upon these."""

    def play() -> None:
        state = OtherHands()
        state.begin(seed=1, limit=3, concurrency=1, both=False, maxlen=2, delay=1.5)
        steps(state)
        state.teardown()

    play()
    changed = 0
    for module in [one for name, one in sys.modules.items() if name.startswith("abe_redis.streams.")]:
        for name, script in list(vars(module).items()):
            if isinstance(script, Script) and old in script._source:
                monkeypatch.setattr(module, name, Script(script._source.replace(old, new)))
                changed += 1
    assert changed
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


def test_an_event_that_is_read_again_while_its_start_is_counted_begins_once() -> None:
    """A failed event is put back into a removed group; who makes that anew takes it over and reads it."""
    queue = Queue()
    queue.begin(seed=0, concurrency=2, limit=2, both=True)
    queue.wait(seconds=0.03)
    queue.start_worker(group="o", lease=8 * LEASE)
    queue.publish(stream="slack:a", count=1, seconds=0.3, fails=1)
    queue.start_worker(group="o")
    queue.step_clock(seconds=-2.0)
    queue.operate(what="remove", stream="slack:a", group="g")
    queue.wait(seconds=0.03)
    queue.publish_again(at=9)
    queue.step_clock(seconds=-2.0)
    queue.operate(what="remove", stream="slack:a", group="o")
    queue.teardown()  # which checks

"""The checker finds what breaks a promise, and excuses what no queue can help: histories made by hand."""

from typing import Any

import pytest

from tests.chaos.checker import violations
from tests.chaos.history import Group, History, Left, Outage, Record


class Story:
    """A history that is told event by event."""

    def __init__(self, *, ordered: bool = False, deliveries: int = 3) -> None:
        self.history = History({"g": Group(ordered, deliveries)}, {"a": 2.0, "b": 2.0, "host": 2.0})
        self.history.left["g"] = Left()

    def accepted(self, *events: int, at: float = 0.0, conversation: str = "C") -> "Story":
        for event in events:
            self._note(at, "accepted", "host", event, conversation=conversation, group="")
        return self

    def run(
        self,
        process: str,
        event: int,
        start: float,
        end: float | None = None,
        outcome: Any = "done",
        *,
        deliveries: int = 1,
    ) -> "Story":
        number = len(self.history.records)
        self._note(start, "start", process, event, run=number, deliveries=deliveries)
        if end is not None:
            self._note(end, outcome, process, event, run=number)
        return self

    def also(self, at: float, what: Any, process: str = "", event: int | None = None, **more: Any) -> "Story":
        self._note(at, what, process, event, **more)
        return self

    def away(self, process: str, begin: float, end: float, *, is_unnoticed: bool = False) -> "Story":
        self.history.outages.append(Outage(process, begin, end, is_unnoticed))
        return self

    def left(self, *events: int, lost: int = 0) -> "Story":
        self.history.left["g"] = Left({str(event) for event in events}, {"s": lost})
        return self

    def _note(self, at: float, what: Any, process: str, event: int | None, **more: Any) -> None:
        more = {"group": "g", "conversation": "C", "stream": "s"} | more
        self.history.note(Record(at, what, process, event="" if event is None else str(event), **more))

    @property
    def broken(self) -> set[str]:
        return {violation.rule for violation in violations(self.history)}


def test_a_good_history_breaks_nothing() -> None:
    story = Story(ordered=True).accepted(1, 2)
    assert story.run("a", 1, 1, 2).run("a", 2, 2, 3).broken == set()


def test_an_accepted_event_that_no_run_finished_is_lost() -> None:
    assert Story().accepted(1, 2).run("a", 1, 1, 2).broken == {"lost"}


@pytest.mark.parametrize(
    ("removed", "counted", "broken"),
    [(2, 1, set()), (2, 0, {"lost"}), (3, 1, {"lost"}), (0, 9, {"lost"})],
)
def test_a_loss_is_counted_and_is_of_what_somebody_removed(
    removed: int, counted: int, broken: set[str]
) -> None:
    story = Story().accepted(1, 2).run("a", 1, 1, 2).left(lost=counted)
    assert story.also(0.5, "removed", event=removed).broken == broken


def test_a_loss_is_counted_in_its_own_stream() -> None:
    story = Story().accepted(1).also(0.5, "removed", event=1)
    story.history.left["g"] = Left(lost={"another": 1})
    assert story.broken == {"lost"}


def test_a_group_that_joins_another_finds_what_that_one_left() -> None:
    story = Story(ordered=True).accepted(1, at=1).accepted(2, at=3).run("a", 2, 5, 6)
    assert story.broken == {"lost", "out of order"}
    story.also(0.5, "joined", group="another").also(4, "joined").also(7, "joined", group="another")
    assert story.broken == set()


def test_what_is_gone_before_any_group_is_there_is_lost() -> None:
    story = Story().accepted(1, at=1).also(2, "joined").also(3, "joined", group="another")
    assert story.broken == {"lost"}
    assert Story().accepted(1, at=3).also(1, "joined", group="another").also(2, "joined").broken == {"lost"}


def test_an_event_that_only_started_is_not_done() -> None:
    assert Story().accepted(1).run("a", 1, 1, 2, "failed").broken == {"lost"}


def test_a_dead_letter_is_not_a_loss() -> None:
    story = Story().accepted(1).run("a", 1, 1, 2, "failed")
    assert story.also(2, "buried", event=1, deliveries=3).broken == set()


def test_an_event_pending_at_the_end_is_stuck() -> None:
    assert Story().accepted(1).left(1).broken == {"stuck"}


def test_two_handlers_of_an_event_at_once_are_found() -> None:
    story = Story().accepted(1).run("a", 1, 1, 4).run("b", 1, 3, 5, deliveries=2)
    assert "twice at once" in story.broken


def test_a_process_that_stood_still_may_have_lost_its_lease() -> None:
    story = Story().accepted(1).run("a", 1, 1, 4, "cancelled").run("b", 1, 3.6, 5, deliveries=2)
    assert story.away("a", 1.5, 3.9).broken == set()


def test_a_pause_much_shorter_than_the_lease_excuses_nothing() -> None:
    story = Story().accepted(1).run("a", 1, 1, 4, "cancelled").run("b", 1, 3.6, 5, deliveries=2)
    assert "twice at once" in story.away("a", 1.5, 1.9).broken


def test_short_pauses_that_touch_are_a_long_one() -> None:
    story = Story().accepted(1).run("a", 1, 1, 4, "cancelled").run("b", 1, 3.6, 5, deliveries=2)
    assert story.away("a", 1.5, 2.2).away("a", 2.1, 2.9).away("a", 2.9, 3.6).broken == set()


def test_somebody_elses_pause_excuses_nothing() -> None:
    story = Story().accepted(1).run("a", 1, 1, 4, "cancelled").run("b", 1, 3.6, 5, deliveries=2)
    assert "twice at once" in story.away("b", 1.5, 3.5).broken


def test_one_process_never_has_an_event_twice() -> None:
    story = Story().accepted(1).run("a", 1, 1, 4).run("a", 1, 3, 5, deliveries=2).also(2, "destroyed")
    assert "twice at once" in story.away("a", 0, 9).broken


def test_a_group_that_was_destroyed_may_give_others_what_was_in_hand() -> None:
    story = Story().accepted(1).run("a", 1, 1, 4).run("b", 1, 3, 5).also(2, "destroyed")
    assert story.broken == set()


def test_a_handler_ends_with_its_process() -> None:
    story = Story().accepted(1).run("a", 1, 1).also(2, "gone", "a").run("b", 1, 4, 5, deliveries=2)
    assert story.broken == set()


def test_a_count_that_falls_is_found() -> None:
    story = Story().accepted(1).run("a", 1, 1, 2, "failed").run("a", 1, 3, 4)
    assert "count fell" in story.broken


@pytest.mark.parametrize("what", ["destroyed", "dropped"])
def test_a_removed_event_is_counted_anew(what: str) -> None:
    story = Story().accepted(1).run("a", 1, 1, 2, "failed").also(2.5, what).run("a", 1, 3, 4)
    assert story.broken == set()


@pytest.mark.parametrize(("again_at", "broken"), [(4, set()), (2.5, {"count fell"})])
def test_what_starts_before_a_destroyed_group_is_there_again_nobody_counts(
    again_at: float, broken: set[str]
) -> None:
    story = Story().accepted(1).also(0, "joined").also(2, "destroyed").run("a", 1, 3, 3.1, "failed")
    assert story.also(again_at, "joined").run("a", 1, 5, 6).broken == broken


@pytest.mark.parametrize(("what", "broken"), [("destroyed", set()), ("redriven", {"count fell"})])
def test_what_was_finished_is_counted_anew_where_the_group_was_made_again(
    what: str, broken: set[str]
) -> None:
    """The new group may stand before what its consumers still had in hand."""
    story = Story().accepted(1).run("a", 1, 1, 2, "failed").also(2.5, what)
    story = story.run("a", 1, 3, 4, deliveries=2).run("a", 1, 5, 6)
    assert story.broken & {"count fell"} == broken


@pytest.mark.parametrize(("started_at", "broken"), [(3.5, set()), (5, {"count fell"})])
def test_what_was_fetched_before_its_group_was_destroyed_begins_with_its_count_of_then(
    started_at: float, broken: set[str]
) -> None:
    """As long as the lease of that time lasts, which is two seconds."""
    story = Story().accepted(1).also(2, "destroyed").also(2.5, "joined").run("a", 1, 3, 3.1, "failed")
    assert story.run("b", 1, started_at, 6).broken == broken


def test_a_start_nobody_could_have_counted_is_excused() -> None:
    story = Story().accepted(1).run("a", 1, 1).also(1.1, "gone", "a").run("b", 1, 4, 5)
    assert story.broken == set()


def test_a_start_that_could_have_been_counted_is_not_excused() -> None:
    story = Story().accepted(1).run("a", 1, 1).also(2.5, "gone", "a").run("b", 1, 4, 5)
    assert "count fell" in story.broken


def test_more_starts_than_the_limit_are_found() -> None:
    story = Story(deliveries=2).accepted(1)
    for at in (1, 2, 3):
        story.run("a", 1, at, at + 0.5, "done" if at == 3 else "failed", deliveries=at)
    assert "too many starts" in story.broken


def test_a_redrive_begins_anew() -> None:
    story = (
        Story(deliveries=1).accepted(1).run("a", 1, 1, 2, "failed").also(2, "buried", event=1, deliveries=1)
    )
    assert story.also(3, "redriven", event=1).run("a", 1, 4, 5).broken == set()


def test_burying_what_no_handler_saw_is_found() -> None:
    assert Story().accepted(1).also(2, "buried", event=1, deliveries=3).broken == {"buried unseen"}


@pytest.mark.parametrize(
    ("gone_at", "deliveries", "events", "broken"),
    [
        (1.5, 1, 1, set()),
        (0.5, 1, 1, {"buried unseen"}),
        (1.5, 2, 1, {"buried unseen"}),
        (1.5, 1, 2, {"buried unseen"}),
    ],
)
def test_one_that_is_killed_may_have_counted_the_start_that_it_was_about_to_make(
    gone_at: float, deliveries: int, events: int, broken: set[str]
) -> None:
    story = Story().also(gone_at, "gone", "a")
    for event in range(events):
        story.accepted(event, at=1).also(2, "buried", event=event, deliveries=deliveries)
    assert story.broken == broken


def test_doing_again_what_is_done_is_found() -> None:
    story = Story().accepted(1).run("a", 1, 1, 2).run("b", 1, 5, 6, deliveries=2)
    assert story.broken == {"again though done"}


@pytest.mark.parametrize(
    ("process", "at", "broken"),
    [("a", 1.9, set()), ("a", 2.2, set()), ("a", 2.5, {"again though done"}), ("", 2.5, set())],
)
def test_an_ack_may_be_lost_with_its_process_or_with_the_server(
    process: str, at: float, broken: set[str]
) -> None:
    """Of a server that restarts, also what it had taken shortly before."""
    story = Story().accepted(1).run("a", 1, 1, 2).run("b", 1, 5, 6, deliveries=2)
    assert story.away(process, at, at + 0.5).broken == broken


@pytest.mark.parametrize(("answers", "broken"), [(2, set()), (3, {"again though done"})])
def test_an_ack_may_be_lost_until_its_process_was_answered_so_often(answers: int, broken: set[str]) -> None:
    story = Story().accepted(1).run("a", 1, 1, 2).run("b", 1, 9, 10, deliveries=2)
    for number in range(answers):
        story.also(2.4 + 0.3 * number, "answered", "a", since=2.1 + 0.3 * number)
    assert story.also(4, "gone", "a").broken == broken


@pytest.mark.parametrize(("process", "broken"), [("a", set()), ("b", {"again though done"})])
def test_an_ack_may_be_late_where_a_process_waited_for_answers(process: str, broken: set[str]) -> None:
    """As on a machine that is too busy; it excuses nobody else."""
    story = Story().accepted(1).run("a", 1, 1, 2).run("b", 1, 5, 6, deliveries=2)
    assert story.also(4.5, "answered", process, since=1.8).broken == broken


@pytest.mark.parametrize(("answers", "broken"), [(3, set()), (4, {"count fell"})])
def test_a_start_may_be_uncounted_until_its_process_was_answered_so_often(
    answers: int, broken: set[str]
) -> None:
    """The first answer was under way when it started."""
    story = Story().accepted(1).run("a", 1, 1, 1.1, "failed")
    for number in range(answers):
        story.also(1.2 + 0.3 * number, "answered", "a", since=0.9 + 0.3 * number)
    assert story.also(3, "gone", "a").run("b", 1, 5, 6).broken == broken


def test_an_outage_long_after_the_ack_excuses_nothing() -> None:
    story = Story().accepted(1).run("a", 1, 1, 2).run("b", 1, 9, 10, deliveries=2)
    assert story.away("a", 6, 8).broken == {"again though done"}


def test_two_events_of_a_conversation_at_once_are_found() -> None:
    story = Story(ordered=True).accepted(1, 2).run("a", 1, 1, 4).run("a", 2, 3, 5)
    assert story.broken == {"two of a conversation", "out of order"}


def test_the_order_of_different_conversations_is_nobodys_promise() -> None:
    story = Story(ordered=True).accepted(1, conversation="X").accepted(2, conversation="Y")
    story.also(1, "start", "a", 2, run=50, deliveries=1, conversation="Y")
    story.also(2, "done", "a", 2, run=50, conversation="Y")
    story.also(3, "start", "a", 1, run=51, deliveries=1, conversation="X")
    assert story.also(4, "done", "a", 1, run=51, conversation="X").broken == set()


def test_an_event_before_the_one_it_follows_is_found() -> None:
    story = Story(ordered=True).accepted(1, 2).run("a", 2, 1, 2).run("a", 1, 3, 4)
    assert story.broken == {"out of order"}


def test_one_who_wakes_must_not_start_while_another_goes_on() -> None:
    story = Story(ordered=True).accepted(47, 70)
    story.run("a", 47, 1, 2, "cancelled").away("a", 1.2, 9).run("b", 47, 4, 5, deliveries=2)
    story.run("b", 70, 8, 10).run("a", 47, 9.1, 9.2, deliveries=2)
    assert "two of a conversation" in story.broken


@pytest.mark.parametrize(
    ("looked", "broken"), [(9.05, {"two of a conversation", "again though done"}), (1.1, set())]
)
def test_what_one_was_about_to_start_when_it_stood_still_it_starts_when_it_wakes(
    looked: float, broken: set[str]
) -> None:
    """It is the first thing that it does: no clock was looked at in between, and nobody was asked."""
    story = Story(ordered=True).accepted(47, 70).also(looked, "answered", "a", since=looked - 0.1)
    story.away("a", 1.2, 9).run("b", 47, 4, 5).run("b", 70, 8, 10)
    assert story.run("a", 47, 9.1, 9.2, deliveries=2).broken == broken


@pytest.mark.parametrize(
    ("is_unnoticed", "first", "broken"),
    [(True, 2, set()), (True, 1, {"again though done"}), (False, 2, {"again though done"})],
)
def test_one_whose_clocks_stood_still_may_start_one_event_that_another_has_done(
    is_unnoticed: bool, first: int, broken: set[str]
) -> None:
    story = Story().accepted(1, 2).away("a", 1, 9, is_unnoticed=is_unnoticed).run("b", 2, 4, 5)
    if first == 1:
        story.run("a", 1, 9.05, 9.1)
    else:
        story.run("b", 1, 5, 6)
    assert story.run("a", 2, 9.15, 9.2).broken == broken


def test_what_is_counted_as_lost_holds_up_nobody() -> None:
    happened = [
        Record(0, "accepted", "host", event="1", conversation="A"),
        Record(1, "accepted", "host", event="2", conversation="A"),
        Record(2, "start", "w", "g", event="2", conversation="A", deliveries=1, run=1),
        Record(3, "done", "w", "g", event="2", conversation="A", deliveries=1, run=1),
    ]
    for removed, broken in (("1", set()), ("2", {"lost", "out of order"})):
        history = History(groups={"g": Group(True, 3)}, leases={"w": 2.0})
        for record in [*happened, Record(0.5, "removed", event=removed)]:
            history.note(record)
        history.left["g"] = Left(lost={"": 1})
        assert {one.rule for one in violations(history)} == broken

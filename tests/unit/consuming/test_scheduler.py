"""Whose turn it is, when streams are busy, quiet, new or gone."""

from collections import Counter
from itertools import groupby

import pytest

from abe_redis.consuming.scheduler import AT_ONCE, LEFT_OUT, LOOKED_AT, Scheduler
from abe_redis.streams.lease import Leased, Portion


class Backlog:
    """Streams of so many entries, read as `lease.take_more` reads them."""

    def __init__(self, **entries: int) -> None:
        self.left = Counter(entries)
        self.read = Counter[str]()

    def take(self, portions: list[Portion], most: int) -> tuple[list[str], list[Leased], set[str]]:
        looked_at: list[str] = []
        taken: list[Leased] = []
        more: set[str] = set()
        for stream, count, _ in portions:
            if len(taken) == most:
                break
            looked_at.append(stream)
            found = min(count, self.left[stream], most - len(taken))
            if found and (found == count or len(taken) + found == most):
                more.add(stream)
            for _ in range(found):
                self.left[stream] -= 1
                self.read[stream] += 1
                taken.append(Leased(stream, f"{self.read[stream]}-0", {}, 1))
        return looked_at, taken, more


def turn(scheduler: Scheduler, backlog: Backlog, most: int) -> list[str]:
    """One read; of which streams there was something."""
    looked_at, leased, more = backlog.take(scheduler.plan(most), most)
    scheduler.note(looked_at, leased, more)
    return [entry.stream for entry in leased]


def test_a_lone_stream_is_read_until_it_is_empty() -> None:
    scheduler, backlog = Scheduler(), Backlog(a=250)
    scheduler.follow(["a"])
    sizes = []
    while not scheduler.is_quiet:
        sizes.append(len(turn(scheduler, backlog, 100)))
    assert sizes == [100, 100, 50]


def test_a_new_stream_counts_as_busy_so_that_it_is_polled_before_a_read_waits() -> None:
    scheduler, backlog, quiet = Scheduler(), Backlog(), []
    for streams in (["a", "b"], ["a", "b", "c"], ["a", "b", "c"]):
        scheduler.follow(streams)
        quiet.append(scheduler.is_quiet)
        turn(scheduler, backlog, 10)
    assert quiet == [False, False, True]


def test_a_stream_that_is_gone_is_not_read_any_more() -> None:
    scheduler, backlog = Scheduler(), Backlog(a=1000, b=1000)
    scheduler.follow(["a", "b"])
    turn(scheduler, backlog, 10)
    scheduler.follow(["b"])
    assert {stream for _ in range(20) for stream in turn(scheduler, backlog, 10)} == {"b"}


def test_busy_streams_are_served_in_turn_however_many_they_are() -> None:
    names = [f"s{number}" for number in range(1000)]
    scheduler, backlog = Scheduler(), Backlog(**dict.fromkeys(names, 1000))
    scheduler.follow(names)
    longest, last = 0, dict.fromkeys(names, 0)
    served = (stream for _ in range(1000) for stream, _ in groupby(turn(scheduler, backlog, 128)))
    for number, stream in enumerate(served):
        longest, last[stream] = max(longest, number - last[stream]), number
    assert longest < 2 * len(names), "twice its fair share at most"
    assert max(backlog.read.values()) - min(backlog.read.values()) <= 2 * 128 // AT_ONCE


@pytest.mark.parametrize("most", [1, 2, 8, 128])
def test_a_read_takes_much_of_few_streams_where_many_are_busy(most: int) -> None:
    names = [f"s{number}" for number in range(100)]
    scheduler, backlog = Scheduler(), Backlog(**dict.fromkeys(names, 1000))
    scheduler.follow(names)
    for _ in range(50):
        taken = Counter(turn(scheduler, backlog, most))
        assert taken.total() == most
        assert len(taken) <= AT_ONCE


def test_a_quiet_stream_does_not_wait_for_the_busy_ones_to_be_done() -> None:
    names = [f"s{number}" for number in range(1000)]
    scheduler, backlog = Scheduler(), Backlog(s0=1_000_000)
    scheduler.follow(names)
    for _ in range(10):
        turn(scheduler, backlog, 128)
    backlog.left["s999"] = 1
    reads = 0
    while backlog.left["s999"]:
        turn(scheduler, backlog, 1)
        reads += 1
    assert reads <= len(names) / LOOKED_AT + 1
    assert backlog.read["s0"] > 128, "and it goes on meanwhile"


def test_the_last_id_is_known_of_those_that_may_have_lost_something() -> None:
    scheduler, backlog = Scheduler(), Backlog(busy=100)
    scheduler.follow(["busy", "quiet"])
    assert {portion.last for portion in scheduler.plan(20)} == {""}
    turn(scheduler, backlog, 20)
    assert {portion.stream: portion.last for portion in scheduler.plan(20)} == {"busy": "10-0", "quiet": ""}


def test_a_stream_that_was_not_polled_keeps_its_turn() -> None:
    scheduler, backlog = Scheduler(), Backlog(a=100, b=100, c=100)
    scheduler.follow(["a", "b", "c"])
    order = [turn(scheduler, backlog, 1)[0] for _ in range(6)]
    assert order == ["a", "b", "c"] * 2


def test_a_stream_whose_portion_was_cut_short_still_counts_as_busy() -> None:
    scheduler, backlog = Scheduler(), Backlog(a=100, b=100, c=100)
    scheduler.follow(["a", "b", "c"])
    assert turn(scheduler, backlog, 5) == ["a", "a", "b", "b", "c"]
    assert turn(scheduler, backlog, 5) == ["a", "a", "b", "b", "c"]
    assert not scheduler.is_quiet


def test_a_stream_that_a_wait_found_may_have_more() -> None:
    scheduler, backlog = Scheduler(), Backlog()
    scheduler.follow(["a", "b"])
    turn(scheduler, backlog, 10)
    scheduler.note_news([Leased("b", "5-0", {}, 1)], 1)
    assert scheduler.plan(20) == [Portion("b", 20, "5-0")], "the wait saw the other one empty"


def test_a_stream_of_which_a_wait_found_less_than_it_asked_for_is_empty() -> None:
    scheduler, backlog = Scheduler(), Backlog()
    scheduler.follow(["a", "b"])
    turn(scheduler, backlog, 10)
    scheduler.note_news([Leased("b", "5-0", {}, 1)], 2)
    assert scheduler.is_quiet, "the next read waits"
    scheduler.note_news([Leased("a", "5-0", {}, 1), Leased("b", "6-0", {}, 1), Leased("a", "6-0", {}, 1)], 2)
    assert scheduler.plan(20) == [Portion("a", 20, "6-0")]


def test_a_stream_that_a_wait_found_empty_is_polled_again_soon() -> None:
    scheduler, backlog = Scheduler(), Backlog(b=1000)
    scheduler.follow(["a", "b"])
    turn(scheduler, Backlog(), 10)
    scheduler.note_news([Leased("b", "5-0", {}, 1)], 1)
    for _ in range(LEFT_OUT):
        assert [portion.stream for portion in scheduler.plan(10)] == ["b"]
        scheduler.note(["b"], [Leased("b", "6-0", {}, 1)], {"b"})
    assert [portion.stream for portion in scheduler.plan(10)] == ["a", "b"]
    scheduler.note_news([Leased("b", "7-0", {}, 1)], 1)
    turn(scheduler, backlog, 10)
    assert [portion.stream for portion in scheduler.plan(10)] == ["a", "b"], "the read was full"


def test_news_of_a_stream_that_is_not_read_any_more_is_none() -> None:
    scheduler = Scheduler()
    scheduler.follow(["there"])
    turn(scheduler, Backlog(), 10)
    assert scheduler.is_quiet
    scheduler.note_more(["gone"])
    assert scheduler.is_quiet
    scheduler.note_more(["there"])
    assert not scheduler.is_quiet


def test_whatever_is_gone_is_not_asked_for_busy_or_quiet() -> None:
    scheduler = Scheduler()
    scheduler.follow(["a", "b", "c", "d"])
    scheduler.note(["a", "b"], [], ())
    scheduler.follow(["b", "d"])
    assert {portion.stream for portion in scheduler.plan(10)} == {"b", "d"}
    scheduler.follow(["b", "d", "e"])
    assert scheduler.plan(10) == [Portion("b", 1, ""), Portion("d", 5, ""), Portion("e", 5, "")]
    scheduler.follow([])
    assert scheduler.is_quiet
    assert scheduler.plan(10) == []


def test_a_plan_shares_the_count_among_streams() -> None:
    scheduler = Scheduler()
    names = [f"s{number}" for number in range(200)]
    scheduler.follow(names)
    assert scheduler.plan(1) == [Portion("s0", 1, "")]
    assert scheduler.plan(3) == [Portion(f"s{number}", 2, "") for number in range(3)]
    assert len(scheduler.plan(500)) == 200
    scheduler.note(names, [], ())
    assert len(scheduler.plan(10)) == LOOKED_AT + 10
    scheduler.note_more(["s7"])
    assert scheduler.plan(10) == [Portion("s7", 10, "")]


def test_a_stream_is_asked_for_once_and_its_last_id_kept() -> None:
    scheduler = Scheduler()
    scheduler.follow(["a", "b"])
    scheduler.note(["a", "b"], [], ())
    scheduler.note_news([Leased("b", "5-0", {}, 1)], 1)
    scheduler.follow(["a", "b", "c"])
    scheduler.plan(1)
    scheduler.note([], [Leased("b", "5-0", {}, 1)], ())
    assert scheduler.plan(10) == [Portion("a", 1, ""), Portion("b", 5, "5-0"), Portion("c", 5, "")]

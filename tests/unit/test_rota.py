"""Whose turn it is, when streams are busy, quiet, new or gone."""

from collections import Counter

from abe_redis.rota import LEFT_OUT, LOOKED_AT, Rota
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


def turn(rota: Rota, backlog: Backlog, most: int) -> list[str]:
    """One read; of which streams there was something."""
    looked_at, leased, more = backlog.take(rota.plan(most), most)
    rota.note(looked_at, leased, more)
    return [entry.stream for entry in leased]


def test_a_lone_stream_is_read_until_it_is_empty() -> None:
    rota, backlog = Rota(), Backlog(a=250)
    rota.follow(["a"])
    sizes = []
    while not rota.is_quiet:
        sizes.append(len(turn(rota, backlog, 100)))
    assert sizes == [100, 100, 50]


def test_what_is_new_counts_as_busy_so_that_no_read_waits_before_it_was_looked_at() -> None:
    rota, backlog, quiet = Rota(), Backlog(), []
    for streams in (["a", "b"], ["a", "b", "c"], ["a", "b", "c"]):
        rota.follow(streams)
        quiet.append(rota.is_quiet)
        turn(rota, backlog, 10)
    assert quiet == [False, False, True]


def test_what_is_gone_is_not_read_any_more() -> None:
    rota, backlog = Rota(), Backlog(a=1000, b=1000)
    rota.follow(["a", "b"])
    turn(rota, backlog, 10)
    rota.follow(["b"])
    assert {stream for _ in range(20) for stream in turn(rota, backlog, 10)} == {"b"}


def test_busy_streams_are_served_in_turn_however_many_they_are() -> None:
    names = [f"s{number}" for number in range(1000)]
    rota, backlog = Rota(), Backlog(**dict.fromkeys(names, 1000))
    rota.follow(names)
    longest, last = 0, dict.fromkeys(names, 0)
    for number, stream in enumerate(stream for _ in range(100) for stream in turn(rota, backlog, 128)):
        longest, last[stream] = max(longest, number - last[stream]), number
    assert longest < 2 * len(names), "twice its fair share at most"
    assert max(backlog.read.values()) - min(backlog.read.values()) <= 4


def test_a_quiet_stream_does_not_wait_for_the_busy_ones_to_be_done() -> None:
    names = [f"s{number}" for number in range(1000)]
    rota, backlog = Rota(), Backlog(s0=1_000_000)
    rota.follow(names)
    for _ in range(10):
        turn(rota, backlog, 128)
    backlog.left["s999"] = 1
    reads = 0
    while backlog.left["s999"]:
        turn(rota, backlog, 1)
        reads += 1
    assert reads <= len(names) / LOOKED_AT + 1
    assert backlog.read["s0"] > 128, "and it goes on meanwhile"


def test_the_last_id_is_known_of_those_that_may_have_lost_something() -> None:
    rota, backlog = Rota(), Backlog(busy=100)
    rota.follow(["busy", "quiet"])
    assert {portion.last for portion in rota.plan(20)} == {""}
    turn(rota, backlog, 20)
    assert {portion.stream: portion.last for portion in rota.plan(20)} == {"busy": "10-0", "quiet": ""}


def test_what_was_not_asked_for_keeps_its_turn() -> None:
    rota, backlog = Rota(), Backlog(a=100, b=100, c=100)
    rota.follow(["a", "b", "c"])
    order = [turn(rota, backlog, 1)[0] for _ in range(6)]
    assert order == ["a", "b", "c"] * 2


def test_what_was_cut_short_still_counts_as_busy() -> None:
    rota, backlog = Rota(), Backlog(a=100, b=100, c=100)
    rota.follow(["a", "b", "c"])
    assert turn(rota, backlog, 5) == ["a", "a", "b", "b", "c"]
    assert turn(rota, backlog, 5) == ["a", "a", "b", "b", "c"]
    assert not rota.is_quiet


def test_what_was_waited_for_may_have_more() -> None:
    rota, backlog = Rota(), Backlog()
    rota.follow(["a", "b"])
    turn(rota, backlog, 10)
    rota.note_news([Leased("b", "5-0", {}, 1)])
    assert rota.plan(20) == [Portion("b", 20, "5-0")], "the wait saw the other one empty"


def test_what_a_wait_saw_empty_is_asked_again_soon() -> None:
    rota, backlog = Rota(), Backlog(b=1000)
    rota.follow(["a", "b"])
    turn(rota, Backlog(), 10)
    rota.note_news([Leased("b", "5-0", {}, 1)])
    for _ in range(LEFT_OUT):
        assert [portion.stream for portion in rota.plan(10)] == ["b"]
        rota.note(["b"], [Leased("b", "6-0", {}, 1)], {"b"})
    assert [portion.stream for portion in rota.plan(10)] == ["a", "b"]
    rota.note_news([Leased("b", "7-0", {}, 1)])
    turn(rota, backlog, 10)
    assert [portion.stream for portion in rota.plan(10)] == ["a", "b"], "the read was full"


def test_news_of_a_stream_that_is_not_read_any_more_is_none() -> None:
    rota = Rota()
    rota.follow(["there"])
    turn(rota, Backlog(), 10)
    assert rota.is_quiet
    rota.note_more(["gone"])
    assert rota.is_quiet
    rota.note_more(["there"])
    assert not rota.is_quiet


def test_whatever_is_gone_is_not_asked_for_busy_or_quiet() -> None:
    rota = Rota()
    rota.follow(["a", "b", "c", "d"])
    rota.note(["a", "b"], [], ())
    rota.follow(["b", "d"])
    assert {portion.stream for portion in rota.plan(10)} == {"b", "d"}
    rota.follow(["b", "d", "e"])
    assert rota.plan(10) == [Portion("b", 1, ""), Portion("d", 5, ""), Portion("e", 5, "")]
    rota.follow([])
    assert rota.is_quiet
    assert rota.plan(10) == []


def test_how_much_is_asked_for() -> None:
    rota = Rota()
    names = [f"s{number}" for number in range(200)]
    rota.follow(names)
    assert rota.plan(1) == [Portion("s0", 1, "")]
    assert rota.plan(3) == [Portion(f"s{number}", 2, "") for number in range(3)]
    assert len(rota.plan(500)) == 200
    rota.note(names, [], ())
    assert len(rota.plan(10)) == LOOKED_AT + 10
    rota.note_more(["s7"])
    assert rota.plan(10) == [Portion("s7", 10, "")]


def test_a_stream_is_asked_for_once_and_its_last_id_kept() -> None:
    rota = Rota()
    rota.follow(["a", "b"])
    rota.note(["a", "b"], [], ())
    rota.note_news([Leased("b", "5-0", {}, 1)])
    rota.follow(["a", "b", "c"])
    rota.plan(1)
    rota.note([], [Leased("b", "5-0", {}, 1)], ())
    assert rota.plan(10) == [Portion("a", 1, ""), Portion("b", 5, "5-0"), Portion("c", 5, "")]

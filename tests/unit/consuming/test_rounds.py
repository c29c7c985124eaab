"""Which streams are looked through for abandoned entries, and how soon each has its turn."""

from abe_redis.consuming.rounds import MOST_IDLE, Rounds
from abe_redis.streams.reclaim import FIRST, NOTHING_PENDING


def streams(count: int) -> dict[str, None]:
    return dict.fromkeys(f"s{number}" for number in range(count))


def test_few_streams_are_all_looked_at_in_every_round() -> None:
    rounds, ready = Rounds(lease_seconds=30, every_seconds=1.6), streams(MOST_IDLE)
    first, second = rounds.next(ready), rounds.next(ready)
    assert sorted(first) == sorted(second) == sorted(ready)
    assert first != second, "no stream is always last"


def test_very_many_streams_all_have_their_turn_within_half_a_lease() -> None:
    rounds, ready = Rounds(lease_seconds=30, every_seconds=1.6), streams(10_000)
    seen = set[str]()
    for _ in range(9):  # 9 * 1.6 s < 15 s
        part = rounds.next(ready)
        assert len(part) <= 10_000 / 9 + 1
        seen |= set(part)
    assert seen == ready.keys()


def test_a_short_lease_needs_all_streams_in_every_round() -> None:
    rounds = Rounds(lease_seconds=1, every_seconds=1.6)
    assert len(rounds.next(streams(10_000))) == 10_000


def test_a_stream_in_which_something_is_pending_is_looked_at_in_every_round() -> None:
    rounds, ready = Rounds(lease_seconds=30, every_seconds=1.6), streams(10_000)
    rounds.places = dict.fromkeys(ready, NOTHING_PENDING) | {"s9000": FIRST, "s9001": "(5-1"}
    rounds.expect(["s9001", "s9002"])
    assert rounds.places["s9001"] == "(5-1", "it goes on where it was"
    for _ in range(2):
        assert {"s9000", "s9001", "s9002"} <= set(rounds.next(ready))


def test_a_stream_that_is_not_read_any_more_is_forgotten() -> None:
    rounds = Rounds(lease_seconds=30, every_seconds=1.6)
    rounds.expect(["gone", "s1"])
    assert rounds.next(streams(1)) == ["s0"]
    assert rounds.places == {}
    rounds.expect(["s0"])
    assert rounds.next(streams(1)) == ["s0"]
    assert rounds.places == {"s0": FIRST}

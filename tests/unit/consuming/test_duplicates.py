"""What comes for the second time is recognized, however it came the first time."""

from abe_redis.consuming.duplicates import Recognition
from abe_redis.streams.lease import Leased


def leased(*numbers: int, again: bool = False, stream: str = "s") -> list[Leased]:
    return [Leased(stream, f"{number}-0", {}, 1, again=again) for number in numbers]


def test_new_entries_in_their_order_are_not_known() -> None:
    recognition = Recognition()
    assert not recognition.may_know(leased(1, 2))
    assert not recognition.may_know(leased(3))
    assert not recognition.may_know(leased(1, 2, stream="another"))
    assert not recognition.may_know([])


def test_what_was_read_before_may_be_known() -> None:
    recognition = Recognition()
    recognition.may_know(leased(1, 5))
    assert recognition.may_know(leased(5, 6))
    assert recognition.may_know(leased(2))
    assert not recognition.may_know(leased(7))


def test_what_was_taken_over_before_may_be_known() -> None:
    """A group that was made again gives as new what its owner has taken over."""
    recognition = Recognition()
    assert recognition.may_know(leased(4, 2, again=True))
    assert recognition.may_know(leased(2, 4))
    assert not recognition.may_know(leased(5))

"""What one consumer holds."""

from abe_redis.consuming.held import Held
from abe_redis.streams.lease import Leased


def test_a_loss_is_reported_once() -> None:
    told: list[str] = []
    held = Held(
        Leased("s", "1-1", {b"data": b"{}"}, 1), ("s", "1-1"), 0.0, on_lost=lambda: told.append("lost")
    )
    held.lose()
    held.lose()
    assert held.lost
    assert told == ["lost"]


def test_an_entry_that_nobody_handles_may_be_lost() -> None:
    held = Held(Leased("s", "1-1", {b"data": b"{}"}, 1), ("s", "1-1"), 0.0)
    held.lose()
    assert held.lost

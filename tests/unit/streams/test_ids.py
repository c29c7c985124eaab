"""Entry ids: their order, the one before, the time in them, and numbers that anybody may have written."""

from datetime import UTC, datetime

import pytest

from abe_redis.streams import ids

LAST = 2**64 - 1


@pytest.mark.parametrize(
    ("entry_id", "order"), [("5-3", (5, 3)), (b"5-3", (5, 3)), ("5", (5, 0)), (f"0-{LAST}", (0, LAST))]
)
def test_ids_have_an_order(entry_id: str | bytes, order: tuple[int, int]) -> None:
    assert ids.order(entry_id) == order


@pytest.mark.parametrize(
    ("entry_id", "before"),
    [
        ("5-3", "5-2"),
        ("5-1", "5-0"),
        ("5-0", f"4-{LAST}"),
        ("5", f"4-{LAST}"),
        ("1-0", f"0-{LAST}"),
        ("0-1", "0-0"),
        ("0-0", "0-0"),
    ],
)
def test_each_id_has_one_before_it_but_the_first(entry_id: str, before: str) -> None:
    assert ids.before(entry_id) == before


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("0-1", True),
        (f"{LAST}-{LAST}", True),
        (f"{LAST + 1}-0", False),
        (f"0-{LAST + 1}", False),
        ("5", False),
        ("5-", False),
        ("5-3-1", False),
        ("٥-3", False),
        ("-3", False),
    ],
)
def test_an_id_has_two_numbers_that_redis_can_hold(text: str, is_id: bool) -> None:
    assert ids.is_id(text) == is_id
    assert ids.is_id(text.partition("-")[0], complete=False) == (
        is_id or text in {"5", "5-", "5-3-1", f"0-{LAST + 1}"}
    )


@pytest.mark.parametrize(
    ("entry_id", "moment"),
    [
        ("0-7", datetime(1970, 1, 1, tzinfo=UTC)),
        (b"1767225600250-9", datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        (f"{LAST}-0", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_an_id_has_a_moment(entry_id: str | bytes, moment: datetime) -> None:
    assert ids.moment(entry_id) == moment


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (None, None),
        ("", None),
        (b"", None),
        (b"12", 12),
        ("12", 12),
        ("007", 7),
        (str(LAST), LAST),
        ("9" * 21, None),
        ("-1", None),
        ("1.5", None),
        ("1a", None),
        ("\u0663", None),
        (b"\xff", None),
    ],
)
def test_a_number_is_read_and_nothing_else(said: bytes | str | None, number: int | None) -> None:
    assert ids.number(said) == number

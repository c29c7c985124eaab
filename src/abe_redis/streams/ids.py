"""Entry ids: their order, the one before, and the time in them."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime.fromtimestamp(0, UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)

_MOST = 2**64 - 1
"""The largest number in an id."""
LAST = f"{_MOST}-{_MOST}"
"""The last id of all. Redis refuses a range that begins behind it, even as an empty one."""
_ID = re.compile(r"\d{1,20}(-\d{1,20})?", re.ASCII)


def is_id(text: str, *, complete: bool = True) -> bool:
    """Whether Redis would take this as an id of an entry.

    Args:
        text: What may be one.
        complete: Whether it must have both numbers; else the milliseconds alone are enough.
    """
    if not _ID.fullmatch(text) or (complete and "-" not in text):
        return False
    return max(order(text)) <= _MOST


def order(entry_id: str | bytes) -> tuple[int, int]:
    """The sort key of an id; a time alone is the first id of its millisecond."""
    text = entry_id if isinstance(entry_id, str) else entry_id.decode()
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)


def before(entry_id: str) -> str:
    """The last id before another one; before the first it is `0-0`, which no entry has."""
    milliseconds, sequence = order(entry_id)
    if sequence:
        return f"{milliseconds}-{sequence - 1}"
    return f"{milliseconds - 1}-{_MOST}" if milliseconds else "0-0"


def moment(entry_id: str | bytes) -> datetime:
    """The time at which the entry was added; never later than the year 9999.

    A foreign publisher may choose ids, such as ones in micro- or nanoseconds.
    """
    try:
        return _EPOCH + timedelta(milliseconds=order(entry_id)[0])
    except OverflowError:
        return _LATEST


def number(said: bytes | str | None) -> int | None:
    """A number from an untrusted field; None if it is not a number, or larger than Redis allows."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
    return int(text) if len(text) <= _DIGITS and text.isascii() and text.isdecimal() else None


def are_numbers(said: list[bytes]) -> bool:
    """Whether `number` finds a number in each of these words, of which none is empty; it takes less time."""
    return b"".join(said).isdigit() and max(map(len, said)) <= _DIGITS


_DIGITS = 20

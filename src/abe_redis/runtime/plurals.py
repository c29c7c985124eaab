"""Numbers and times in sentences."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun, singular or plural."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def first_of(names: Sequence[str], most: int) -> str:
    """The first names, quoted, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + rest


def some_of(names: Iterable[str], most: int) -> str:
    """The first names in alphabetical order, each once, quoted, and how many more there are."""
    return first_of(sorted(set(names)), most)


def pending(number: int, postponed: int) -> str:
    """A number of pending events, and how many of them nobody holds, since they are postponed."""
    return f"{number} ({postponed} postponed)" if postponed else str(number)


def duration(seconds: float) -> str:
    """A time as people say it: in seconds, minutes, hours or days."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def when(moment: datetime) -> str:
    """A time to the second, with its zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_MOST_NAMED = 5


def named(ids: Sequence[str]) -> str:
    """The first ids, and how many more there are."""
    more = f" and {len(ids) - _MOST_NAMED:,} more" if len(ids) > _MOST_NAMED else ""
    return f"{', '.join(ids[:_MOST_NAMED])}{more}"

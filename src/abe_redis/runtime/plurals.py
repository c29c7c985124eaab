"""Numbers and times in sentences."""

from datetime import UTC, datetime


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun, singular or plural."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A time as people say it: in seconds, minutes, hours or days."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def when(moment: datetime) -> str:
    """A time to the second, with its zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

"""Figures of a stream, and how they are written in a narrow column."""

from abe_redis.runtime.plurals import duration as duration_in_words
from abe_redis.schemas import GroupStats, StreamStats

_UNKNOWN = "–"  # noqa: RUF001 - a dash, as on the dashboard
_THOUSAND = 1000


def pending(one: StreamStats) -> int:
    """Entries that its groups have delivered and not acked."""
    return sum(group.pending for group in one.groups)


def lag(one: StreamStats) -> int | None:
    """Entries that its groups have not delivered yet; None when Redis does not know the lag of one."""
    lags = [group.lag for group in one.groups]
    return None if None in lags else sum(lag or 0 for lag in lags)


def oldest(one: StreamStats) -> float | None:
    """Age in seconds of the oldest pending or undelivered entry; None when there is none."""
    ages = [
        age
        for group in one.groups
        for age in (group.oldest_pending_seconds, group.oldest_undelivered_seconds)
        if age is not None
    ]
    return max(ages, default=None)


def alive(groups: list[GroupStats]) -> str:
    """How many of the consumers live, as in `2 of 3`."""
    consumers = [consumer for group in groups for consumer in group.consumers]
    return f"{sum(one.alive for one in consumers)} of {len(consumers)}"


def total(values: list[float | None]) -> float | None:
    """The sum; None when one is unknown."""
    return None if None in values else sum(value or 0 for value in values)


def number(value: float | None) -> str:
    """Four digits at most, with `k`, `M` or `G`; a dash for what is unknown."""
    if value is None:
        return _UNKNOWN
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if value >= size:
            return f"{value / (_THOUSAND if unit == 'k' else size):.4g}{unit}"
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A number a second, with one digit behind the point for few."""
    if value is None:
        return _UNKNOWN
    return f"{value:.1f}" if 0 < value < 10 else number(value)  # noqa: PLR2004 - one digit more for few


def duration(seconds: float | None) -> str:
    """Seconds in words, as in `3 min`; a dash for what is unknown."""
    return _UNKNOWN if seconds is None else duration_in_words(seconds)


def ago(seconds: float | None) -> str:
    """The age of the oldest, in brackets behind a number; nothing where there is none."""
    return "" if seconds is None else f" (oldest {duration_in_words(seconds)})"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun, as in `3 streams`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

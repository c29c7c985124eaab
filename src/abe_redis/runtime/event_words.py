"""What is said of an event that a group has not finished, in the same words at every door."""

from datetime import UTC, datetime

from abe_redis.runtime.plurals import count, duration, when

_FREE = "free: the next consumer gets it"

ENDED = {
    "done": "done",
    "skipped": "does not get it: the group was made behind it",
    "passed": "done, unless the group began after it or was moved past it",
    "gone": "does not have it: it finished it, or it was removed before that",
}
"""States of an event that a group does not have, and does not get."""


def deliveries(state: str | None, number: int | None) -> str:
    """The words about the number of its deliveries; empty where they say nothing."""
    if number is None or (state == "waiting" and not number):
        return ""
    if state in {"postponed", "waiting"}:
        return f"had {count(number, 'delivery', 'deliveries')}"
    return f"delivery {number}" if number or state is None else "not handed to a handler yet"


def free(left: str | None, had: str | None, free_at: datetime | None) -> str:
    """The words about an event that nobody holds, and that is not postponed.

    Args:
        left: The consumer that has ended without giving it back, as it is shown.
        had: The consumer whose lease is over, as it is shown.
        free_at: The end of the lease of either, if that is known.
    """
    if left is not None:
        seconds = 0.0 if free_at is None else (free_at - datetime.now(UTC)).total_seconds()
        when_free = f" in {duration(max(1, seconds))}" if seconds > 0 else ""
        return f"left by {left}, which has ended; a live consumer takes it over{when_free}"
    if had is None:
        return _FREE
    over = 0.0 if free_at is None else (datetime.now(UTC) - free_at).total_seconds()
    return f"lease of {had} over since {duration(max(0, over))}, {_FREE}"


def due(at: datetime | None, why: str = "") -> str:
    """When a postponed event is delivered again; a time that has passed stands until a worker takes it."""
    if at is None:
        return f"postponed{why}"
    if at <= datetime.now(UTC):
        return f"was due at {when(at)}{why}; a worker takes it when one runs"
    return f"postponed until {when(at)}{why}"

"""What is said of an event that a group has not finished, in the same words at every door."""

from datetime import UTC, datetime

from abe_redis.runtime.plurals import count, duration, when

_FREE, _PAUSED = "free: the next consumer gets it", "free, but its group is paused"

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
    if state == "postponed" and not number:
        return "no delivery counted"
    if state in {"postponed", "waiting"}:
        return f"had {count(number, 'delivery', 'deliveries')}"
    return f"delivery {number}" if number or state is None else "not handed to a handler yet"


def free(left: str | None, had: str | None, free_at: datetime | None, *, paused: bool) -> str:
    """The words about an event that nobody holds, and that is not postponed.

    Args:
        left: The consumer that has ended without giving it back, as it is shown.
        had: The consumer whose lease is over, as it is shown.
        free_at: The end of the lease of either, if that is known.
        paused: Whether its group is paused.
    """
    is_free = _PAUSED if paused else _FREE
    if left is not None:
        seconds = 0.0 if free_at is None else (free_at - datetime.now(UTC)).total_seconds()
        when_free = f" in {duration(max(1, seconds))}" if seconds > 0 else ""
        over = _PAUSED if paused else f"a live consumer takes it over{when_free}"
        return f"left by {left}, which has ended; {over}"
    if had is None:
        return is_free
    since = 0.0 if free_at is None else (datetime.now(UTC) - free_at).total_seconds()
    return f"lease of {had} over since {duration(max(0, since))}, {is_free}"


def buried(*, again: bool) -> str:
    """The words about an event that a group gave up on.

    Args:
        again: Whether the group may have got it again since.
    """
    return "given up on, unless a replay has finished it since" if again else "given up on"


def redriven(number: int) -> str:
    """The sentence about the redriven among counted events; empty if there are none."""
    if not number:
        return ""
    were, event = ("was", "its event counts") if number == 1 else ("were", "their events count")
    return f"{number} of these {were} redriven: {event} twice if the first entry is there, too."


def due(at: datetime | None, why: str = "", *, paused: bool) -> str:
    """When a postponed event is delivered again; a time that has passed stands until a worker takes it."""
    if at is None:
        return f"postponed{why}"
    if at <= datetime.now(UTC):
        takes = "its group is paused" if paused else "a worker takes it when one runs"
        return f"was due at {when(at)}{why}; {takes}"
    return f"postponed until {when(at)}{why}"

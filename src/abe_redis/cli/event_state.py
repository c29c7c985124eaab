"""How far a group is with an event, as `read` says it: for one of a list, and for one that was looked for."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from abe_redis.cli.common import plain
from abe_redis.runtime.plurals import count, duration, left_by, when

if TYPE_CHECKING:
    from abe_redis.schemas import EventView, GroupState


def state_line(one: "GroupState") -> str:
    """What a group has done with the event, in a line."""
    again = "" if one.redriven_as is None else f"redriven as {one.redriven_as}; "
    match one.state:
        case "done":
            how = "done, unless the group began after it"
        case "buried":
            how = (
                f"given up on, unless a replay has finished it since; see `abe-redis dead show {one.dead_id}`"
            )
        case _:
            how = state_of(one)
    return f"group {plain(one.group)}: {again}{how}"


def state_of(one: "EventView | GroupState") -> str:
    """Who has an event that is not finished, since when and how often; empty if it was only looked at."""
    return ", ".join(filter(None, [_deliveries(one), _holder(one)]))


def _deliveries(one: "EventView | GroupState") -> str:
    if one.deliveries is None:
        return ""
    if one.state == "waiting" and one.left_by is None and not one.deliveries:
        return ""
    if one.state in {"postponed", "waiting"}:
        return f"had {count(one.deliveries, 'delivery', 'deliveries')}"
    return f"delivery {one.deliveries}" if one.deliveries else "not handed to a handler yet"


def _holder(one: "EventView | GroupState") -> str:
    match one.state:
        case "undelivered":
            return "not delivered yet"
        case "postponed":
            why = "" if one.reason is None else f", because {plain(one.reason)}"
            return _due(one.due_at, why)
        case "waiting":
            if one.left_by is not None:
                return left_by(plain(one.left_by), one.free_at)
            # Passed over, or replayed, or given back before a handler began it.
            return "given back, held by nobody" if one.deliveries else "free: the next consumer gets it"
    if one.consumer is None:
        return ""
    since = "" if one.held_seconds is None else f" for {duration(one.held_seconds)}"
    return f"held by {plain(one.consumer)}{since}"


def _due(at: datetime | None, why: str) -> str:
    """When a postponed event is delivered again; a time that has passed stands until a worker takes it."""
    if at is None:
        return f"postponed{why}"
    if at <= datetime.now(UTC):
        return f"was due at {when(at)}{why}; a worker takes it when one runs"
    return f"postponed until {when(at)}{why}"

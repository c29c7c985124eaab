"""The state of one event in each group, for `read --event-id`."""

from typing import TYPE_CHECKING

from abe_redis.cli.common import plain
from abe_redis.runtime.plurals import count, duration

if TYPE_CHECKING:
    from abe_redis.schemas import GroupState


def state_line(one: "GroupState") -> str:
    """What a group has done with the event, in a line."""
    again = "" if one.redriven_as is None else f"redriven as {one.redriven_as}; "
    return f"group {plain(one.group)}: {again}{_how(one)}"


def _how(one: "GroupState") -> str:
    had = count(one.deliveries or 0, "delivery", "deliveries")
    match one.state:
        case "done":
            return "done, unless the group began after it"
        case "held":
            since = duration(one.held_seconds or 0)
            return f"held by {plain(one.consumer or '?')} for {since}, delivery {one.deliveries}"
        case "waiting":
            return f"given back, held by nobody, had {had}"
        case "postponed":
            return f"postponed until {one.due_at:%Y-%m-%d %H:%M:%S}, had {had}"
        case "undelivered":
            return "not delivered yet"
        case "buried":
            return f"given up on; see `abe-redis dead show {one.dead_id}`"

"""How far a group is with an event, as `read` says it: for one of a list, and for one that was looked for."""

from typing import TYPE_CHECKING

from abe_redis.cli.output import plain
from abe_redis.runtime import event_words
from abe_redis.runtime.plurals import duration

if TYPE_CHECKING:
    from abe_redis.schemas import EventView, GroupState


def state_line(one: "GroupState") -> str:
    """What a group has done with the event, in a line."""
    again = "" if one.redriven_as is None else f"redriven as {one.redriven_as}; "
    match one.state:
        case "done" | "skipped" | "passed" | "gone":
            how = event_words.ENDED[one.state]
        case "buried":
            how = f"{event_words.buried(again=one.again)}; see `abe-redis dead show {one.dead_id}`"
        case _:
            how = state_of(one, paused=one.paused)
    return f"group {plain(one.group)}: {again}{how}"


def state_of(one: "EventView | GroupState", *, paused: bool) -> str:
    """Who has an event that is not finished, since when and how often; empty if it was only looked at."""
    had = event_words.deliveries(one.state, one.deliveries)
    return ", ".join(filter(None, [had, _holder(one, paused=paused)]))


def _holder(one: "EventView | GroupState", *, paused: bool) -> str:
    match one.state:
        case "undelivered":
            return "not delivered yet"
        case "postponed":
            why = "" if one.reason is None else f", because {plain(one.reason)}"
            return event_words.due(one.due_at, why, paused=paused)
        case "waiting":
            left, had = (None if name is None else plain(name) for name in (one.left_by, one.had_by))
            return event_words.free(left, had, one.free_at, paused=paused)
    if one.consumer is None:
        return ""
    who = f"you ({plain(one.consumer)})" if one.yours else plain(one.consumer)
    since = f" for {duration(one.held_seconds)}" if one.held_seconds else ""
    return f"held by {who}{since}"

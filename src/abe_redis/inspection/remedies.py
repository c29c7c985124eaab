"""The commands that advice about a group names: the one that starts a worker, and the one that removes it."""

from abe_redis.runtime.shell import quoted
from abe_redis.schemas import GroupStats

NEVER = "0-0"
"""Where a group stands that was made at the beginning and has had nothing delivered."""


WORKER = "abe-redis worker MODULE:HANDLER --group GROUP"
"""The command that starts a worker of any group."""


def worker(group: str) -> str:
    """The command that starts a worker of a group."""
    return f"abe-redis worker MODULE:HANDLER --group {quoted(group)}"


def removal(stream: str, group: str) -> str:
    """The command that removes a group, unless that gives up events: then it says how many."""
    return f"abe-redis group remove {quoted(stream)} {quoted(group)}"


def may_be_mistake(group: GroupStats) -> bool:
    """Whether nothing was ever delivered to a group and it has no consumer, as when its name is mistyped."""
    return group.last_delivered_id == NEVER and not group.pending and not group.consumers

"""The commands that advice about a group names: the one that starts a worker, and the one that removes it."""

from abe_redis.runtime.shell import command, option
from abe_redis.schemas import GroupStats

NEVER = "0-0"
"""Where a group stands that was made at the beginning and has had nothing delivered."""


WORKER = "abe-redis worker MODULE:HANDLER --group GROUP"
"""The command that starts a worker of any group."""


def worker(group: str) -> str:
    """The command that starts a worker of a group."""
    return command("worker MODULE:HANDLER", options=option("--group", group))


def removal(stream: str, group: str) -> str:
    """How a group is removed: the command refuses while that gives up events, and says how many, and how."""
    return f"`{command('group remove', stream, group)}` says what removing it gives up, and how"


def may_be_mistake(group: GroupStats) -> bool:
    """Whether nothing was ever delivered to a group and it has no consumer, as when its name is mistyped."""
    return group.last_delivered_id == NEVER and not group.pending and not group.consumers

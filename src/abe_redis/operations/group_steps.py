"""A change of a group: its step, and what the audit holds of it."""

from collections.abc import Awaitable, Callable

from abe_redis.operations.changing import Change
from abe_redis.schemas import GroupChange


def facts(change: GroupChange, **more: object) -> dict[str, object]:
    """A change for the audit."""
    events = change.events if change.is_all else f"{change.events} or more"
    return {"done": change.done, "events": events, **more}


async def step[Result](
    begun: Change, group: str, write: Callable[[], Awaitable[Result]], note: Callable[[Result], None]
) -> Result:
    """A step that is tried once: a second try would say what the first one has left."""
    return await begun.step(write, [group], lambda result, _: note(result), repeats=False)

"""A change of a group: its steps, and what the audit and a later failure say of it."""

from collections.abc import Awaitable, Callable
from functools import partial

from abe_redis.operations.changing import Change
from abe_redis.runtime.plurals import count
from abe_redis.schemas import GroupChange
from abe_redis.streams.publish import announce_here


def note(begun: Change, change: GroupChange, **more: object) -> None:
    """Note that a change is done."""
    events = change.events if change.is_all else f"{change.events} or more"
    begun.facts |= {"done": change.done, "events": events, **more}
    begun.done = [f"the group {change.group!r} is {change.done}"]


def note_replay(begun: Change, change: GroupChange, reached: str | None, **bounds: object) -> None:
    """Note how far a replay has come.

    Args:
        begun: The change.
        change: What it has done until now.
        reached: The last id that it looked at; None when it is through.
        bounds: The bounds of its range.
    """
    note(begun, change, **bounds, reached=reached)
    if reached is not None:
        begun.done = [f"{count(change.events, 'event')} replayed, up to {reached}: go on from there"]


async def step[Result](
    begun: Change, group: str, write: Callable[[], Awaitable[Result]], note: Callable[[Result], None]
) -> Result:
    """A step that is tried once: a second try would say what the first one has left."""
    return await begun.step(write, [group], lambda result, _: note(result), repeats=False)


async def announce(begun: Change, stream: str) -> None:
    """Let consumers look at a stream of which a group was changed; the change is done if this fails, too."""
    await begun.step(partial(announce_here, begun.redis, [stream]), [], lambda *_: None)

"""What becomes of an event when Redis does not take it: what its publisher and the outbox do about it.

Only an event that is too large is given up once it was accepted. Whatever else Redis answers has nothing to
do with the event: a person puts it right, another process has the right, or it passes.
"""

from enum import Enum, auto

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.client.passing_states import STREAM_FULL, code_of
from abe_redis.streams import slots


class Fate(Enum):
    """What becomes of an event in the outbox."""

    REFUSED = auto()
    """It stays in the file with the reason, and blocks no other."""
    STREAM_WAITS = auto()
    """It is tried again, and the events of its stream behind it wait; others go on."""
    NOT_PERMITTED = auto()
    """As before; if another process left it, any other that is permitted may have it."""
    ALL_WAIT = auto()
    """Redis takes nothing at present."""


class NotPermittedError(Exception):
    """This process's user may not publish what another process left."""


def concerns_the_event(error: BaseException) -> bool:
    """Whether Redis refuses this event of this user, and not all events because of a state, known or not."""
    return not failures.passes_for_who_was_let_in(error)


async def fate_of(error: BaseException, redis: Redis, stream: str) -> Fate:
    """What becomes of an event that was accepted.

    Args:
        error: Why Redis does not take it.
        redis: For its topology: a node of a cluster may be away alone.
        stream: The event's.
    """
    if failures.lacks_right(error):
        return Fate.NOT_PERMITTED
    if failures.is_too_large(error):
        return Fate.REFUSED
    if code_of(error) == STREAM_FULL or not (failures.passes(error) or failures.is_refused_login(error)):
        return Fate.STREAM_WAITS
    await slots.judge(redis)
    return Fate.ALL_WAIT if slots.is_here(redis, stream) else Fate.STREAM_WAITS


async def raise_while_away(redis: Redis) -> None:
    """Raise what keeps Redis from taking anything at present, as far as it says so when asked for nothing.

    Raises:
        redis.RedisError, OSError: The failure.
    """
    try:
        await redis.ping()
    except failures.FAILURES as error:
        if failures.passes(error):
            raise

"""Giving up on one event by its id, for a person."""

from abe_redis.errors import RequestError
from abe_redis.operations.operations import Operations
from abe_redis.schemas import ReleaseResult


async def bury(
    operations: Operations, entry_id: str, *, stream: str, group: str, reason: str
) -> ReleaseResult:
    """Lease an event that nobody holds, and move it to the dead letters.

    The group must exist: to make one for this would deliver all that the stream has. If this process dies
    in between, the lease ends and the event is delivered as before.

    Raises:
        RequestError: It is not there, the group has finished it, or somebody holds it.
    """
    await operations.pending(stream=stream, group=group, count=1)
    leased = await operations.lease(stream=stream, group=group, ids=[entry_id])
    if not leased.events:
        raise RequestError(f"The event {entry_id!r} was not buried. {leased.note}")
    return await operations.release(
        stream=stream, group=group, ids=[one.id for one in leased.events], bury=reason
    )

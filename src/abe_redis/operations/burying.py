"""Giving up on one event by its id, for a person."""

from abe_redis.errors import RequestError
from abe_redis.operations.operations import Operations
from abe_redis.schemas import ReleaseResult


async def bury(
    operations: Operations, entry_id: str, *, stream: str, group: str, reason: str
) -> ReleaseResult:
    """Move an event to the dead letters; the caller holds it, or leases it because nobody does.

    The group must exist: a new one would get every event of the stream. If this process dies after it leased
    the event, the lease expires and the event is delivered as before.

    Raises:
        RequestError: It is not there, the group has finished it, or somebody else holds it.
    """
    held = await operations.release(stream=stream, group=group, ids=[entry_id], bury=reason)
    if held.buried:
        return held
    leased = await operations.lease(stream=stream, group=group, ids=[entry_id])
    if not leased.events:
        raise RequestError(f"The event {entry_id!r} was not buried. {leased.note}")
    return await operations.release(
        stream=stream, group=group, ids=[one.id for one in leased.events], bury=reason
    )

"""Leasing events to whoever asks by hand: first what others left, then what is new."""

from abe_redis.client.connections import Connections
from abe_redis.consuming.discovery import say_lost
from abe_redis.operations import event_views
from abe_redis.operations.agent_leases import AgentRead
from abe_redis.schemas import EventView, ReadResult
from abe_redis.settings import Settings
from abe_redis.streams import clock_steps, dead, lease, names
from abe_redis.streams.reclaim import reclaim


async def take(
    connections: Connections, settings: Settings, taken: AgentRead, *, count: int, wait_seconds: float
) -> ReadResult:
    """Lease events, and keep them; what cannot be handled is buried.

    Args:
        connections: The way to Redis.
        settings: The lease, and how often an event is delivered.
        taken: For which group and consumer; it keeps what is leased.
        count: How many at most.
        wait_seconds: How long to wait when there is none.
    """
    stream, group, consumer = taken.stream, taken.group, taken.consumer
    events: list[EventView] = []
    passed_over = True
    while passed_over and not events:
        leased = await _lease(connections, settings, taken, count=count, wait_seconds=wait_seconds)
        passed_over = False
        for entry in leased:
            try:
                dead.check_leased(entry, group, settings.redis_stream_max_deliveries)
                dead.open_leased(entry)
            except dead.ForOthersError:
                await lease.ack(connections.commands, group, consumer, [(stream, entry.id)])
                passed_over = True
            except dead.PoisonEntryError as reason:
                if await dead.bury(connections.commands, stream, group, consumer, entry.id, str(reason)):
                    taken.buried.append(entry.id)
            else:
                taken.hold(entry.id, entry.deliveries)
                events.append(
                    event_views.view(
                        entry.id,
                        entry.fields,
                        deliveries=entry.deliveries,
                        consumer=consumer,
                        idle_seconds=0,
                    )
                )
    note = (
        "These are yours now: ack each one when it is done."
        if events
        else "Nothing is waiting in this group."
        if not (held := taken.agent_leases.count(stream, group, consumer))
        else f"Nothing else is waiting in this group; you hold {held} of its events (pending=true)."
    )
    if taken.buried:
        note += f" {len(taken.buried)} that could not be handled went to {names.dead_letters(stream)!r}."
    return ReadResult(
        stream=stream,
        mode="lease",
        events=events,
        lease_seconds=settings.redis_stream_lease_seconds,
        note=note,
    )


async def _lease(
    connections: Connections, settings: Settings, taken: AgentRead, *, count: int, wait_seconds: float
) -> list[lease.Leased]:
    stream, group, consumer = taken.stream, taken.group, taken.consumer
    lease_seconds = settings.redis_stream_lease_seconds
    await clock_steps.mend(connections.commands, group, [stream], lease_seconds=lease_seconds)
    leased, lost = await reclaim(
        connections.commands,
        group,
        consumer,
        [stream],
        lease_seconds=lease_seconds,
        count=count,
    )
    say_lost(stream, group, lost[stream])
    if len(leased) < count:
        leased += await lease.take_new(
            connections.commands, group, consumer, [stream], count=count - len(leased), block_ms=None
        )
    if not leased and wait_seconds:
        leased = await lease.take_new(
            connections.blocking,
            group,
            consumer,
            [stream],
            count=count,
            block_ms=max(1, round(wait_seconds * 1000)),
        )
    return leased

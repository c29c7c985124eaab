"""Leases events to a person or an agent: first abandoned ones, then new ones; or chosen ones."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import anyio.lowlevel

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.consuming.discovery import say_lost
from abe_redis.operations import event_views
from abe_redis.operations.agent_leases import AgentRead, Rest
from abe_redis.operations.caller_limits import Limits
from abe_redis.operations.filters import Filter
from abe_redis.runtime import plurals
from abe_redis.schemas import EventView, ReadResult
from abe_redis.settings import Settings
from abe_redis.streams import acks, beyond_end, clock_steps, dead, lease, names, peek
from abe_redis.streams.choose import MOST_PASSED, Chosen, Why, take_these
from abe_redis.streams.consumers import ended_in
from abe_redis.streams.groups import record_progress
from abe_redis.streams.manage import is_paused
from abe_redis.streams.owners import Owner
from abe_redis.streams.page_size import PageSize
from abe_redis.streams.reclaim import reclaim

_LOOK_SECONDS = 2.0
"""Interval at which a call that waits for an event checks whether the group is paused, as consumers do."""


async def take(
    connections: Connections,
    settings: Settings,
    taken: AgentRead,
    limits: Limits,
    *,
    count: int,
    wait_seconds: float,
) -> ReadResult:
    """Lease a group's oldest events, and keep them; bury those that cannot be decoded.

    Args:
        connections: The way to Redis.
        settings: The lease.
        taken: For which group and consumer; it keeps what is leased.
        limits: The caller's limits.
        count: How many at most.
        wait_seconds: How long to wait when there is none.
    """
    events: list[EventView] = []
    goes_on = True
    while goes_on and not events:
        buried = len(taken.buried)
        leased = await _lease(connections, settings, taken, limits, count=count, wait_seconds=wait_seconds)
        events, passed_over = await _opened(connections, taken, leased)
        goes_on = passed_over or len(taken.buried) > buried
    if events:
        note = await _yours(connections, taken)
    elif taken.agent_leases.count(taken.stream, taken.group, taken.consumer):
        note = "Nothing else is waiting in this group."
    else:
        note = "Nothing is waiting in this group."
    return _result(settings, taken, events, note)


async def _yours(connections: Connections, taken: AgentRead) -> str:
    """What to do with leased events; and whether an ordered worker owns the stream they were taken from."""
    note = "These are yours now: ack each one when it is done."
    token: Any = None
    with contextlib.suppress(*failures.FAILURES):  # the events are leased: their holder must hear of them
        token = await connections.commands.get(names.owner(taken.stream, taken.group))
    if not token:
        return note
    return (
        f"{note} The ordered worker {Owner.consumer_of(token.decode(errors='replace'))!r} has this stream: "
        "what you do with them comes out of the order of their conversations."
    )


async def take_chosen(
    connections: Connections,
    settings: Settings,
    taken: AgentRead,
    *,
    ids: Sequence[str],
    wanted: Filter,
    count: int,
) -> ReadResult:
    """As `take`, but only the events of these ids, or those that match.

    Args:
        connections: The way to Redis.
        settings: The lease.
        taken: For which group and consumer; it keeps what is leased.
        ids: The events; they are leased even while they are postponed.
        wanted: Selects among the waiting events, the oldest first, if there are no ids.
        count: How many at most.
    """
    looked_at, complete = 0, True
    chosen: Sequence[str] = ids
    if not ids:
        chosen, looked_at, complete = await _waiting(connections, settings, taken, wanted, count)
    outcome = Chosen([], [], 0)
    if chosen:
        outcome = await take_these(
            connections.commands,
            taken.group,
            taken.consumer,
            taken.stream,
            chosen,
            lease_seconds=settings.redis_stream_lease_seconds,
            postponed=bool(ids),
        )
    events, _ = await _opened(connections, taken, outcome.leased)
    said = [await _yours(connections, taken)] if events else []
    if not chosen:
        said.append(
            f"None of the {looked_at:,} that wait and were looked at matches.{wanted.doubt}"
            if complete
            else f"None of the first {looked_at:,} that wait matches. More wait behind them, and can be "
            f"chosen when these are taken: at most {MOST_PASSED} are passed over. To see those: read_stream."
        )
    by_reason: dict[str, list[str]] = {}
    is_any_held = any(why == "held" for _, why, _ in outcome.others)
    ended = await ended_in(connections.commands, taken.group, taken.stream) if is_any_held else set[str]()
    for entry_id, why, holder in outcome.others:
        ours = why == "held" and taken.agent_leases.holds(taken.stream, taken.group, taken.consumer, entry_id)
        is_left = why == "held" and holder in ended
        reason = "you hold it already" if ours else (_LEFT if is_left else _WHY[why]).format(holder=holder)
        to_whom = "Not leased to you" if why == "held" and not ours and not is_left else "Not leased"
        by_reason.setdefault(f"{to_whom}, {reason}", []).append(entry_id)
    said += [f"{reason}: {', '.join(those)}." for reason, those in by_reason.items()]
    if outcome.passed:
        were = "was" if outcome.passed == 1 else "were"
        said.append(
            f"{outcome.passed} before them {were} passed over: nobody holds what was passed over, it counts "
            "as pending, and the next consumer gets it first."
        )
    return _result(settings, taken, events, " ".join(said))


_WHY: dict[Why, str] = {
    "held": "held by {holder!r}",
    "postponed": "postponed (give its id to take it all the same)",
    "done": "the group has finished it, or it does not exist",
    "far": f"more than {MOST_PASSED} events of this group stand before it",
}

_LEFT = "left by {holder!r}, which has ended: it is free at the end of that one's lease"

_LOOKED_AT, _PAGE = 1000, 100


async def _waiting(
    connections: Connections, settings: Settings, taken: AgentRead, wanted: Filter, count: int
) -> tuple[list[str], int, bool]:
    """The ids of events that wait in the group and match, the oldest first.

    Returns:
        Also how many were looked at, and whether these are all that wait.
    """
    redis, stream, group = connections.commands, taken.stream, taken.group
    found, looked_at, after, pages = list[str](), 0, None, PageSize(_PAGE)
    while len(found) < count and looked_at < _LOOKED_AT and not pages.is_spent():
        asked = pages.count
        rows = await peek.pending(
            *(redis, stream, group),
            after=after,
            count=asked,
            consumer=None,
            lease_seconds=settings.redis_stream_lease_seconds,
        )
        pages.note(row.fields for row in rows)
        for row in rows:
            await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
            if (row.is_free or row.is_due) and row.fields is not None:
                looked_at += 1
                if wanted.matches(event_views.view(row.id, row.fields)):
                    found.append(row.id)
        if len(rows) < asked:
            break
        after = rows[-1].id
    after, passed, complete = await peek.given(redis, stream, group), 0, False
    while len(found) < count and passed <= MOST_PASSED and not pages.is_spent():
        asked = pages.count
        page = await peek.entries(redis, stream, after=after, count=asked, order="oldest")
        pages.note(entry.fields for entry in page)
        for entry in page:
            await anyio.lowlevel.checkpoint()
            looked_at += 1
            if wanted.matches(event_views.view(entry.id, entry.fields)):
                found.append(entry.id)
            else:
                passed += 1
        if complete := len(page) < asked:
            break
        after = page[-1].id
    return found[:count], looked_at, complete


async def _opened(
    connections: Connections, taken: AgentRead, leased: Sequence[lease.Leased]
) -> tuple[list[EventView], bool]:
    """Keep leased entries, and bury those that cannot be decoded.

    How often an entry was delivered is no reason: how often is too often, the group's workers know.

    Returns:
        The events; and whether some were for other groups, so that they were passed over.
    """
    stream, group, consumer = taken.stream, taken.group, taken.consumer
    events: list[EventView] = []
    passed_over = False
    for entry in leased:
        await anyio.lowlevel.cancel_shielded_checkpoint()  # others have their turn; no lease is forgotten
        try:
            dead.check_for(entry, group)
            dead.open_leased(entry)
        except dead.ForOthersError:
            await acks.ack(connections.commands, group, consumer, [(stream, entry.id)])
            passed_over = True
        except dead.PoisonEntryError as reason:
            taken.perhaps_buried = [entry.id]  # until the answer is there
            try:
                outcome = await dead.bury(
                    connections.commands, stream, group, consumer, entry.id, str(reason)
                )
            except failures.FAILURES as error:
                if not failures.is_lost(error):
                    taken.perhaps_buried = []
                raise
            taken.perhaps_buried = []
            if outcome == "done":
                taken.buried.append(entry.id)
        else:
            taken.hold(entry.id, entry.deliveries, Rest(entry.rest_seconds, entry.postponed_because))
            events.append(
                event_views.view(
                    entry.id,
                    entry.fields,
                    state="held",
                    deliveries=entry.deliveries,
                    consumer=consumer,
                    idle_seconds=0,
                    held_seconds=0,
                    yours=True,
                )
            )
    return events, passed_over


def _result(settings: Settings, taken: AgentRead, events: list[EventView], note: str) -> ReadResult:
    if taken.buried:
        note += (
            f" {len(taken.buried)} that could not be decoded went to {names.dead_letters(taken.stream)!r}."
        )
    if others := [one.id for one in taken.agent_leases.every() if one.call != taken.call]:
        note += (
            f" You also hold {len(others)} of other calls, which you may not have seen: "
            f"{plurals.named(others)}. To see them: read_stream(pending=true)."
        )
    return ReadResult(
        stream=taken.stream,
        mode="lease",
        group=taken.group,
        call=taken.call,
        events=events,
        lease_seconds=settings.redis_stream_lease_seconds,
        note=note,
    )


async def _lease(
    connections: Connections,
    settings: Settings,
    taken: AgentRead,
    limits: Limits,
    *,
    count: int,
    wait_seconds: float,
) -> list[lease.Leased]:
    stream, group, consumer = taken.stream, taken.group, taken.consumer
    lease_seconds = settings.redis_stream_lease_seconds
    await clock_steps.mend(connections.commands, group, [stream], lease_seconds=lease_seconds)
    await beyond_end.set_back(connections.commands, group, [stream])
    new = list[lease.Leased]()
    async with limits.turn():
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
            new = await lease.take_new(
                connections.commands, group, consumer, [stream], count=count - len(leased), block_ms=None
            )
    until = time.monotonic() + wait_seconds
    while not (leased or new) and (left := until - time.monotonic()) > 0:
        new = await lease.take_new(
            connections.blocking,
            group,
            consumer,
            [stream],
            count=count,
            block_ms=max(1, round(min(left, _LOOK_SECONDS) * 1000)),
        )
        if not new and await is_paused(connections.commands, stream, group):
            break
    if leased or new:
        # Then another consumer gets these events if somebody removes this one.
        with contextlib.suppress(*failures.FAILURES):
            await record_progress(connections.commands, [stream], group)
    return [*leased, *new]

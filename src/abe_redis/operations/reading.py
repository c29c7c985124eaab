"""The three ways to read a stream by hand: look, see what is leased, lease."""

from dataclasses import dataclass

import anyio
from redis.asyncio import Redis

from abe_redis.client.connections import Connections
from abe_redis.consuming.discovery import say_lost
from abe_redis.events import slack
from abe_redis.operations import event_views
from abe_redis.operations.agent_leases import AgentLeases, AgentRead
from abe_redis.schemas import EventView, ReadResult
from abe_redis.settings import Settings
from abe_redis.streams import dead, ids, lease, names, peek


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: the events that match every given field."""

    event_type: str | None = None
    channel: str | None = None
    user: str | None = None
    since: str | None = None
    """No event before this id."""

    @property
    def is_given(self) -> bool:
        """Whether it excludes any event."""
        return any((self.event_type, self.channel, self.user, self.since))

    def matches(self, view: EventView) -> bool:
        """Whether an event matches."""
        payload = view.payload or {}
        return (
            self.event_type in {None, view.event_type}
            and (self.channel is None or self.channel in slack.channels_of(payload))
            and (self.user is None or self.user in slack.users_of(payload))
            and (self.since is None or ids.order(view.id) >= ids.order(self.since))
        )


_SCANNED = 2000
"""Entries that a filtered read searches in one call."""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one stream at a time. Its callers have checked the arguments."""

    connections: Connections
    settings: Settings
    agent_leases: AgentLeases

    @property
    def _redis(self) -> Redis:
        return self.connections.commands

    async def look(
        self,
        stream: str,
        *,
        count: int,
        start: str | None,
        order: peek.Order,
        wanted: Filter,
        wait_seconds: float,
    ) -> ReadResult:
        """Show entries and change nothing."""
        found: list[EventView] = []
        after, scanned, more = start, 0, True
        if order == "oldest" and start is None and wanted.since is not None:
            after = ids.before(wanted.since)
        page_size = _PAGE if wanted.is_given else count
        while more and len(found) < count and scanned < _SCANNED:
            page = await peek.entries(self._redis, stream, after=after, count=page_size, order=order)
            more = len(page) == page_size
            for entry in page:
                after, scanned = entry.id, scanned + 1
                shown = event_views.view(entry.id, entry.fields)
                if order == "newest" and wanted.since and ids.order(entry.id) < ids.order(wanted.since):
                    more = False
                    break
                if wanted.matches(shown):
                    found.append(shown)
                    if len(found) == count:
                        more = True
                        break
        if not (found or more) and wait_seconds and (order == "oldest" or start is None):
            behind = after if order == "oldest" and after else "$"
            found, last = await self._wait(stream, behind, count, wanted, wait_seconds)
            if order == "oldest" and last != behind:
                after, more = last, True
        return ReadResult(
            stream=stream,
            mode="peek",
            events=found,
            next_start=after if more else None,
            note=(
                "Nothing was changed."
                if found
                else "No event here matches."
                if wanted.is_given
                else "There is no event here."
            ),
        )

    async def _wait(
        self, stream: str, behind: str, count: int, wanted: Filter, seconds: float
    ) -> tuple[list[EventView], str]:
        """What comes behind an id and is wanted, as soon as there is some; and the last id seen."""
        deadline, found = anyio.current_time() + seconds, list[EventView]()
        while not found and (left := deadline - anyio.current_time()) > 0:
            entries = await peek.wait(
                self.connections.blocking, stream, after=behind, count=count, seconds=left
            )
            behind = entries[-1].id if entries else behind
            seen = [event_views.view(entry.id, entry.fields) for entry in entries]
            found = [one for one in seen if wanted.matches(one)]
        return found, behind

    async def pending(
        self, stream: str, group: str, *, count: int, start: str | None, consumer: str | None, own: str
    ) -> ReadResult:
        """Show what is leased, by whom, how long and how often, and change nothing; `own` is who asks."""
        rows = await peek.pending(self._redis, stream, group, after=start, count=count, consumer=consumer)
        events = [
            event_views.view(
                row.id,
                row.fields,
                deliveries=row.deliveries,
                consumer=None if row.idle_seconds is None or row.due_at else row.consumer,
                idle_seconds=None if row.due_at else row.idle_seconds,
                due_at=row.due_at,
                yours=not row.due_at
                and row.idle_seconds is not None
                and (row.consumer == own or self.agent_leases.holds(stream, group, row.consumer, row.id)),
            )
            for row in rows
        ]
        return ReadResult(
            stream=stream,
            mode="pending",
            events=events,
            next_start=rows[-1].id if len(rows) == count else None,
            note=(
                "Nothing was changed."
                if rows
                else f"Nothing is leased {'' if consumer is None else f'to {consumer!r} '}in group {group!r}."
            ),
        )

    async def take(self, taken: AgentRead, *, count: int, wait_seconds: float) -> ReadResult:
        """Lease events to the consumer: first what others left, then what is new."""
        stream, group, consumer = taken.stream, taken.group, taken.consumer
        events: list[EventView] = []
        passed_over = True
        while passed_over and not events:
            leased = await self._take(stream, group, consumer, count=count, wait_seconds=wait_seconds)
            passed_over = False
            for entry in leased:
                try:
                    dead.check_leased(entry, group, self.settings.redis_stream_max_deliveries)
                    dead.open_leased(entry)
                except dead.ForOthersError:
                    await lease.ack(self._redis, group, consumer, [(stream, entry.id)])
                    passed_over = True
                except dead.CondemnedError as reason:
                    if await dead.bury(self._redis, stream, group, consumer, entry.id, str(reason)):
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
            if not (held := self.agent_leases.count(stream, group, consumer))
            else f"Nothing else is waiting in this group; you hold {held} of its events (pending=true)."
        )
        if taken.buried:
            note += f" {len(taken.buried)} that could not be handled went to {names.dead_letters(stream)!r}."
        return ReadResult(
            stream=stream,
            mode="lease",
            events=events,
            lease_seconds=self.settings.redis_stream_lease_seconds,
            note=note,
        )

    async def _take(
        self, stream: str, group: str, consumer: str, *, count: int, wait_seconds: float
    ) -> list[lease.Leased]:
        leased, lost = await lease.take_abandoned(
            self._redis,
            group,
            consumer,
            [stream],
            lease_seconds=self.settings.redis_stream_lease_seconds,
            count=count,
        )
        say_lost(stream, group, lost[stream])
        if len(leased) < count:
            leased += await lease.take_new(
                self._redis, group, consumer, [stream], count=count - len(leased), block_ms=None
            )
        if not leased and wait_seconds:
            leased = await lease.take_new(
                self.connections.blocking,
                group,
                consumer,
                [stream],
                count=count,
                block_ms=max(1, round(wait_seconds * 1000)),
            )
        return leased

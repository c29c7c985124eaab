"""Searches of a caller: one event by its id, counts, changes, and the caller's own leases."""

from typing import Unpack

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError, RequestError
from abe_redis.inspection.topic_groups import groups_beside
from abe_redis.operations import audit, counting, event_views, find_event, topics
from abe_redis.operations.checks import check_id, check_range
from abe_redis.operations.dead_letter_search import DeadLetterSearch
from abe_redis.operations.filters import Asked, Filter
from abe_redis.operations.payload_size import Room
from abe_redis.operations.read_stream import Reading
from abe_redis.runtime.plurals import first_of
from abe_redis.schemas import MAX_COUNT, MAX_EVENT_ID, Change, CountResult, EventView, ReadResult
from abe_redis.streams import ids, names, peek
from abe_redis.streams.find_streams import existing
from abe_redis.streams.page_size import PageSize

_MOST_NAMED = 20


class Searching(Reading):
    """The searches, which change nothing."""

    async def find_event(self, event_id: str, *, stream: str | None = None) -> ReadResult:
        """Find an event by its id, and its state in each group.

        Args:
            event_id: The id that Slack or the publisher gave it, or the id of its entry.
            stream: Where to look: a stream, or a topic with its partitions; by default in all streams.
        """
        self.agent_leases.touch()
        check_range("The length of event_id", len(event_id), 1, MAX_EVENT_ID)
        name = None if stream is None else self._scope.consumable(stream)
        async with self._scope.redis(f"looking for {event_id!r}") as redis:
            patterns = self._scope.patterns
            if name is None:
                streams = await existing(redis, patterns)
            elif not (streams := await topics.streams(redis, patterns, name)):
                await self._scope.check_exists(redis, name)
            if not streams:
                raise RequestError(await self._scope.choice(redis))
            async with self._scope.limits.turn():
                found = await find_event.find(
                    redis, streams, event_id, lease_seconds=self._settings.redis_stream_lease_seconds
                )
                if found.events and not found.groups:
                    found.note += f" {await self._no_group(redis, found.stream)}"
        for event in found.events:
            for one in found.handled:
                entry_id = one.redriven_as or event.id
                one.yours = one.state == "held" and self._is_ours(
                    found.stream, one.group, one.consumer, entry_id
                )
        return found

    async def find_dead_letter(self, dead_id: str, *, stream: str | None = None) -> ReadResult | None:
        """Find a dead letter by its own id; None if there is none.

        Args:
            dead_id: Its id.
            stream: The stream that it came from, or a topic with its partitions; by default every one.
        """
        self.agent_leases.touch()
        if not ids.is_id(dead_id):
            return None
        name = None if stream is None else self._scope.consumable(stream)
        async with self._scope.redis(f"looking for {dead_id!r}") as redis, self._scope.limits.turn():
            for one in await DeadLetterSearch(self._scope).streams(redis, name):
                place = names.dead_letters(one)
                if (entry := await peek.entry(redis, place, dead_id)) is not None:
                    view = event_views.view(entry.id, entry.fields)
                    Room(1).bound(view)
                    return ReadResult(stream=place, mode="peek", events=[view], note="Nothing was changed.")
        return None

    async def look_at(self, stream: str, entry_id: str, *, dead: bool) -> EventView:
        """An entry, or a dead letter, of a stream; one that is gone has no payload."""
        place = names.dead_letters(stream) if dead else stream
        async with self._scope.redis(f"looking at {stream!r}") as redis, self._scope.limits.turn():
            entry = await peek.entry(redis, place, entry_id)
        return event_views.view(entry_id, entry.fields if entry else None)

    async def _no_group(self, redis: Redis, stream: str) -> str:
        """A sentence about a stream without a group, and the groups that its topic has elsewhere."""
        said = f"No group reads {stream!r} yet."
        others = await groups_beside(redis, stream, self._scope.patterns.match)
        if not others:
            return said
        has = "a group" if len(others) == 1 else "groups"
        return (
            f"{said} Its topic has {has} elsewhere ({first_of(others, _MOST_NAMED)}), whose workers read it, "
            "too, from the oldest event on."
        )

    async def count_events(
        self,
        *,
        by: counting.By,
        stream: str | None = None,
        dead: bool = False,
        waiting: bool = False,
        group: str | None = None,
        count: int = 20,
        **asked: Unpack[Asked],
    ) -> CountResult:
        """Count events by what they have in common, from the newest on, up to a bound.

        Finished events count, too, as long as the stream has them; with `waiting` they do not.

        Args:
            by: What the events of a row have in common; `reason`, `group` and `handler` are those of dead
                letters.
            stream: The stream, or a topic, whose partitions are counted together; by default the host's
                topic, which may not exist yet.
            dead: Count its dead letters instead.
            waiting: Count only what a group has not finished, from the oldest on.
            group: With `waiting`: that group; it may be left out when the stream has one or none. With
                `dead`: count only what this group gave up on.
            count: How many rows at most; 1 to 100.
            asked: Count only these.
        """
        self.agent_leases.touch()
        check_range("count", count, 1, MAX_COUNT)
        name = self._scope.consumable(stream)
        dead = dead or by in {"reason", "group", "handler"}
        if group is not None and not (waiting or dead):
            raise InvalidArgumentError(
                "group says whose waiting events or dead letters to count: set waiting or dead, too."
            )
        if waiting and dead:
            raise InvalidArgumentError("Dead letters wait for nobody: to count them, leave out waiting.")
        async with self._scope.redis(f"counting events of {name!r}") as redis:
            sources = await self._sources(redis, name, dead=dead, is_named=stream is not None)
            wanted = await Filter.at_times(redis, self._scope.limits, **asked)
            if waiting and group is not None and not sources:
                await self._scope.check_exists(redis, name)
            if waiting and sources:
                group = await self._group_that_waits(redis, name, list(sources), group)
            async with self._scope.limits.turn():
                if waiting:
                    result = await counting.count_waiting(
                        redis, name, streams=list(sources), group=group, by=by, wanted=wanted, most_rows=count
                    )
                else:
                    result = await counting.count(
                        redis, name, sources=sources, by=by, wanted=wanted, most_rows=count, group=group
                    )
                    result.group = group
            result.dead = dead
            if not sources and not dead:
                result.note = await self._scope.absence(redis, name)
            elif not result.total:
                result.note = wanted.doubt.strip()
            return result

    async def _sources(self, redis: Redis, name: str, *, dead: bool, is_named: bool) -> dict[str, str]:
        """Per stream of a topic, the stream or the dead letters that are counted, if there are any.

        Raises:
            RequestError: There is no such stream, and somebody has named it.
        """
        known = await topics.streams(redis, self._scope.patterns, name)
        streams = dict.fromkeys([name, *await topics.partitions(redis, self._scope.patterns, name), *known])
        places = {one: names.dead_letters(one) if dead else one for one in streams}
        kinds = await peek.kinds(redis, places.values())
        found = {one: place for one, place in places.items() if kinds[place] == "stream"}
        is_default_to_come = not is_named and await peek.kind(redis, name) == "none"
        if not (found or is_default_to_come or (dead and known)):
            await (self._scope.check_known if dead else self._scope.check_exists)(redis, name)
        return found

    async def changes(self, *, stream: str | None = None, count: int = MAX_COUNT) -> list[Change]:
        """The last changes that people and agents made to streams that the caller may see, the newest first.

        Args:
            stream: Only to this one.
            count: How many at most.
        """
        self.agent_leases.touch()
        wanted = None if stream is None else self._scope.allowed(stream)
        seen = self._scope.patterns
        found = await audit.changes(
            self._scope,
            count=count,
            stream=wanted,
            is_shown=lambda one: all(map(seen.match, audit.streams_of(one) or {""})),
        )
        return found.changes

    def check_readable(self, stream: str) -> None:
        """Refuse a stream that the caller may not look at, whether it exists or not."""
        self._scope.allowed(stream)

    async def newest(self, stream: str, count: int) -> list[EventView]:
        """The newest events, fewer if they are large; looking at them does not count as a call of an agent.

        Args:
            stream: The stream.
            count: How many at most.
        """
        found, pages = list[EventView](), PageSize(count)
        async with self._scope.redis(f"looking at {stream!r}") as redis:
            while (room := count - len(found)) and not pages.is_spent():
                asked = min(room, pages.count)
                after = found[-1].id if found else None
                page = await peek.entries(
                    redis, self._scope.allowed(stream), after=after, count=asked, order="newest"
                )
                pages.note(entry.fields for entry in page)
                for entry in page:
                    await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
                    found.append(event_views.view(entry.id, entry.fields))
                if len(page) < asked:
                    break
        return found

    async def held(
        self, *, stream: str | None = None, count: int = MAX_COUNT, start: str | None = None
    ) -> ReadResult:
        """The events that this caller holds, in all groups, in the order of their ids.

        Args:
            stream: Only of this one, and of the partitions of its topic.
            count: How many events at most; 1 to 100, and more only to name all of one id.
            start: Only those behind this id.
        """
        self.agent_leases.touch()
        check_range("count", count, 1, MAX_COUNT)
        first = (0, 0) if start is None else ids.order(check_id("start", start))
        name = None if stream is None else self._scope.allowed(stream)
        every = self.agent_leases.every()
        held = sorted(
            (one for one in every if name in {None, one.stream, names.topic_of(one.stream)}),
            key=lambda one: ids.order(one.id),
        )
        behind = [one for one in held if ids.order(one.id) > first]
        result = ReadResult(stream=name or "", mode="pending", events=[], note="Nothing was changed.")
        async with self._scope.redis("looking at what you hold") as redis, self._scope.limits.turn():
            room, read, last = Room(min(count, len(behind))), PageSize(count), ""
            for one in behind:
                if one.id != last and (len(result.events) >= count or read.is_spent()):
                    result.next_start = last
                    break
                last = one.id
                entry = await peek.entry(redis, one.stream, one.id)
                read.note([] if entry is None else [entry.fields])
                view = event_views.view(
                    one.id,
                    entry.fields if entry else None,
                    stream=one.stream,
                    group=one.group,
                    deliveries=one.deliveries,
                    consumer=one.consumer,
                    held_seconds=one.held_seconds,
                    yours=True,
                )
                room.bound(view)
                result.events.append(view)
        if not held:
            result.note = "You hold nothing. To see what others hold, name a group."
        elif len(held) > (shown := len(result.events)):
            which = f"the first {shown}" if start is None else f"{shown} of them"
            result.note = f"Nothing was changed. You hold {len(held)}; these are {which}."
        return result

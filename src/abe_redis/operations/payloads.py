"""The payloads of all events that match, one after the other, so that they can be published elsewhere."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Unpack

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError
from abe_redis.operations import carrying, event_views
from abe_redis.operations.filters import Asked, Filter
from abe_redis.operations.find_and_count import Searching
from abe_redis.streams import ids, names, peek, unfinished
from abe_redis.streams.page_size import PageSize

_PAGE = 100


class Payloads(Searching):
    """The payloads of events, to be carried away; nothing is changed."""

    async def payloads(
        self,
        *,
        stream: str | None = None,
        waiting: bool = False,
        group: str | None = None,
        start: str | None = None,
        **asked: Unpack[Asked],
    ) -> AsyncGenerator[carrying.Carried]:
        """The payloads of all events that there are now and that match, the oldest of each stream first.

        Args:
            stream: The stream, or a topic, whose partitions come one after the other; by default the host's
                topic.
            waiting: Only what a group has not finished.
            group: With `waiting`: that group; it may be left out when events wait in only one.
            start: Begin behind this event: an id, or `ID@STREAM`.
            asked: Only these.
        """
        self.agent_leases.touch()
        name = self._scope.consumable(stream)
        if group is not None:
            names.check_group(group)
            if not waiting:
                raise InvalidArgumentError("group says whose waiting events to print: set waiting, too.")
        begin = carrying.Start.of(start)
        async with self._scope.redis(f"reading {name!r}") as redis:
            found = await self._sources(redis, name, dead=False, is_named=stream is not None)
            if waiting and found:
                group = await self._group_that_waits(redis, name, list(found), group)
            wanted = await Filter.at_times(redis, self._scope.limits, **asked)
            ends = await carrying.ends(redis, {one: one for one in begin.streams(list(found))})
            for one, end in ends.items():
                entries = _entries(redis, one, _behind(begin.after(one), wanted))
                if waiting:
                    entries = _unfinished(redis, one, group, _behind(begin.after(one), wanted))
                async for entry_id, fields in entries:
                    await anyio.lowlevel.checkpoint()
                    is_past = wanted.until is not None and ids.order(entry_id) >= ids.order(wanted.until)
                    if is_past or ids.order(entry_id) > ids.order(end):
                        break
                    if not wanted.is_given or wanted.matches(event_views.view(entry_id, fields)):
                        yield carrying.carried(one, entry_id, fields)


def _behind(start: str | None, wanted: Filter) -> str | None:
    """Behind which id to begin."""
    begins = [start, None if wanted.since is None else ids.before(wanted.since)]
    return max(filter(None, begins), key=ids.order, default=None)


async def _entries(redis: Redis, stream: str, after: str | None) -> AsyncIterator[carrying.Entry]:
    async for page in peek.pages(redis, stream, size=_PAGE, after=after):
        for entry in page:
            yield entry.id, entry.fields


async def _unfinished(
    redis: Redis, stream: str, group: str | None, after: str | None
) -> AsyncIterator[carrying.Entry]:
    size = PageSize(_PAGE, most_bytes=sys.maxsize)
    async for page in unfinished.pages(redis, stream, group, after=after, size=size):
        for one in page.entries:
            yield one.id, one.fields

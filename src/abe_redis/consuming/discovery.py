"""Discovery of the streams that a consumer reads: finds new ones, and drops deleted ones."""

import logging
import time
from collections.abc import Iterable, Mapping

from redis.asyncio import Redis

from abe_redis.consuming import chosen_streams, new_groups
from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.events.log_fields import of
from abe_redis.runtime import plurals
from abe_redis.runtime.shell import command
from abe_redis.streams import audit, names, slots
from abe_redis.streams.find_streams import Search, announced
from abe_redis.streams.groups import Ensured, ensure_group
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import unannounce

_LOG = logging.getLogger(__name__)

MISSING_SECONDS = 60
"""Time for which a deleted stream is checked; after that, only its publisher or a search finds it, and the
index forgets it.

One that the patterns name in full is checked for ever, since no search looks for it.
"""

_WHOLE_INDEX_EVERY = 64


class Discovery:
    """The streams that match some patterns and have a group, kept up to date tick by tick.

    An idle tick costs two commands, whatever the number of streams, and a third while there are none; every
    second one costs a third while a group is paused, or the node of the index is away.
    """

    def __init__(
        self,
        patterns: Patterns,
        group: str,
        tolerance: Tolerance,
        *,
        consumer: str = "",
        topic: str | None = None,
    ) -> None:
        self.ready: dict[str, None] = {}
        """Streams that have the group, in the order in which they were found."""
        self.paused: dict[str, None] = {}
        """Streams whose group is paused, so that nothing is read from them.

        They are checked again and again: a read would notice that somebody removed or made anew the group or
        the stream, and there is none.
        """
        self.made = set[str]()
        """Streams of which the group was just made, so that nobody is in it; whoever looks clears this."""
        self._was_read = set[str]()
        """Streams that were read, and whose records therefore know the group."""
        self._patterns = patterns
        self._group = group
        self._consumer = consumer
        self._topic = topic
        self._tolerance = tolerance
        self._search = Search(patterns)
        self._missing: dict[str, float] = dict.fromkeys(patterns.names, float("inf"))
        """Names to check again, each until a monotonic time."""
        self._news: dict[str, float] = {}
        """The time of the last known news in the index."""
        self._to_ask: dict[str, None] = {}
        """Streams with news that are not checked yet; a failed check leaves them here for the next tick."""
        self._ticks = 0
        self._had_index = True
        """Whether the index was there when streams were checked last: what it missed, it does not tell."""
        self._is_told = False
        """Whether the log has said which of the chosen streams are not there."""
        self._began = time.time()

    @property
    def joined(self) -> list[str]:
        """Streams in whose group this consumer may hold something: read, paused, or to be checked again."""
        return list(dict.fromkeys((*self.ready, *self.paused, *self._missing, *self._to_ask)))

    async def tick(self, redis: Redis) -> None:
        """Search for streams: in the index, by name, and now and then in the keyspace.

        Raises:
            redis.RedisError: The server refused to make a group, or could not be reached.
        """
        self._ticks += 1
        has_index = slots.is_here(redis, names.INDEX)
        if has_index:
            await self._tolerance.attempt("reading the index of streams", self._read_index(redis))
        asked = list(self._to_ask)
        if self._ticks % 2 or not self.ready:
            asked += self._missing
        if self._ticks % 2:
            asked += self.paused
            asked += () if has_index and self._had_index else self.ready
            self._had_index = has_index
        else:
            if self._ticks % _WHOLE_INDEX_EVERY == 0:
                asked += self.ready  # whoever paused a group may have failed to announce it
            await self._tolerance.attempt("searching for streams", self._search.step(redis))
        missing = list[str]()
        # Those whose node is away are asked when it is back.
        if here := [name for name in dict.fromkeys(asked) if slots.is_here(redis, name)]:
            missing = await self._ask(redis, here)
            self._to_ask = {name: None for name in self._to_ask if name not in here}
        if not self._is_told:
            self._is_told = True
            chosen_streams.tell(self._patterns, missing, {**self._news, **self.ready, **self.paused})

    async def _read_index(self, redis: Redis) -> None:
        """Add the streams with news in the index to those to check."""
        # Now and then read the whole index, since a failover may set the server's clock back.
        whole = self._ticks % _WHOLE_INDEX_EVERY == 0
        since = 0.0 if whole else max(self._news.values(), default=0.0)
        found = await announced(redis, since)
        news = {name: at for name, at in found.items() if self._news.get(name) != at}
        self._news = found if whole else self._news | found
        self._to_ask |= {name: None for name in news if self._patterns.match(name)}

    def leave_out(self, streams: Iterable[str]) -> None:
        """Read nothing of streams whose node is away, and check them when it is back."""
        for stream in streams:
            self.ready.pop(stream, None)
            self.paused.pop(stream, None)
            self._to_ask[stream] = None

    def look_at(self, streams: Iterable[str]) -> None:
        """Check these at the next tick: they have no group any more."""
        self._to_ask |= dict.fromkeys(streams)

    def recheck(self) -> None:
        """Check every stream again: one of them was deleted or replaced."""
        now = time.monotonic()
        for stream in self.joined:
            self._miss(stream, now)
        self.ready.clear()
        self.paused.clear()

    async def _ask(self, redis: Redis, asked: list[str]) -> list[str]:
        """Sort names into those we read and those to check again; answers which do not exist."""
        now = time.monotonic()
        ensured = await ensure_group(redis, asked, self._group, worker=True)
        if new := [name for name, found in zip(asked, ensured, strict=True) if found.new]:
            telling = new_groups.tell(redis, self._group, new, began=self._began, topic=self._topic)
            await self._tolerance.attempt("looking at what waits for a new group", telling)
        deleted = list[str]()
        for name, found in zip(asked, ensured, strict=True):
            say_lost(name, self._group, found.lost)
            self._notice_forgetting(name, found)
            if found.again or found.new:
                self.made.add(name)
            if found.again:
                await self._tell_of_restoring(redis, name)
            self._sort(name, found.state == "ready", self.ready)
            self._sort(name, found.state == "paused", self.paused)
            if found.state in {"ready", "paused"}:
                self._missing.pop(name, None)
            elif self._miss(name, now) < now:
                del self._missing[name]
                if found.state == "missing":
                    deleted.append(name)
        if deleted and slots.is_here(redis, names.INDEX):
            forgetting = unannounce(redis, deleted)
            await self._tolerance.attempt("removing deleted streams from the index", forgetting)
        return [name for name, found in zip(asked, ensured, strict=True) if found.state == "missing"]

    def _miss(self, name: str, now: float) -> float:
        """Check a name again from now on; answers until when."""
        until = float("inf") if name in self._patterns.names else now + MISSING_SECONDS
        return self._missing.setdefault(name, until)

    def _notice_forgetting(self, stream: str, found: Ensured) -> None:
        """Say once when Redis no longer has records about the group: nothing else says what is lost then."""
        if stream in self._was_read and found.removed:
            _LOG.warning(
                "Group %r of %r was removed by `abe-redis group remove`, and this consumer, which still "
                "runs, made it again: it gets everything from the beginning. Stop its consumers before you "
                "remove a group.",
                self._group,
                stream,
                extra=of(stream, group=self._group),
            )
        elif stream in self._was_read and not found.was_known:
            _LOG.error(
                "Redis has lost what it knew of group %r of %r, as after FLUSHALL or a restart without its "
                "data. The events that the group had not finished are lost, unless somebody publishes them "
                "again; nobody can count them.",
                self._group,
                stream,
                extra=of(stream, group=self._group),
            )
        elif stream in self._was_read and found.state == "missing":
            _LOG.warning(
                "The stream %r is gone: somebody deleted or renamed it, or Redis evicted it. Group %r reads "
                "it again once it has an event.",
                stream,
                self._group,
                extra=of(stream, group=self._group),
            )
        if found.state in {"ready", "paused"} and (found.was_known or found.new):
            self._was_read.add(stream)
        else:
            self._was_read.discard(stream)

    async def _tell_of_restoring(self, redis: Redis, stream: str) -> None:
        """Say in the log and the audit that a group was made again; the audit lacks its removal."""
        _LOG.warning(
            "Group %r of %r was made again, because somebody had removed it. Its consumers keep their "
            "events in flight; its other unfinished events are delivered again.",
            self._group,
            stream,
            extra=of(stream, group=self._group),
        )
        facts = {"stream": stream, "group": self._group, "done": "made again what somebody had destroyed"}
        noting = audit.record(redis, self._consumer, "group restored", facts, "consumer")
        await self._tolerance.attempt("writing into the audit", noting)

    def _sort(self, name: str, belongs: bool, among: dict[str, None]) -> None:  # noqa: FBT001
        if not belongs:
            among.pop(name, None)
        elif name not in among:
            among[name] = None
            if among is self.ready:
                _LOG.debug("Group %r reads %r.", self._group, name)
            else:
                _LOG.info(
                    "Group %r of %r is paused: nothing of it is read until `%s`.",
                    *(self._group, name, command("group resume", name, self._group)),
                    extra=of(name, group=self._group),
                )


def say_lost(stream: str, group: str, count: int) -> None:
    """Log how many entries are gone too early, if there are any."""
    if count:
        _LOG.error(
            "%s of %r %s gone before group %r had finished %s: removed by somebody's XTRIM, XDEL or DEL, "
            "evicted by Redis, or lost in a failover or a restart with the latest writes. Redis does not say "
            "which.",
            plurals.count(count, "event"),
            stream,
            "was" if count == 1 else "were",
            group,
            "it" if count == 1 else "them",
            extra=of(stream, group=group),
        )


def say_all_lost(counts: Mapping[str, int], group: str) -> None:
    """The same for several streams."""
    for stream, count in counts.items():
        say_lost(stream, group, count)

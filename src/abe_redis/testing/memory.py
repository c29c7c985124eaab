"""A queue in memory that keeps the promises of the real one: for tests without a server.

The same tests hold for both. It lacks what only a server can do: it does not outlive the process, is not
trimmed, and has no Redis to inspect; `published`, `buried` and `unfinished` show its content.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import anyio.lowlevel

from abe_redis.backend import check_settings
from abe_redis.consuming.event_stream import EventStream
from abe_redis.errors import AbeRedisError, ClosedError, RedisUnavailableError, SettingsError
from abe_redis.events import codec, kinds, slack
from abe_redis.events.arrival import Arrival, check_arrival
from abe_redis.events.conversation import conversation_of
from abe_redis.events.identity import event_id_of
from abe_redis.events.mentions import TYPES, Mention, mention_in
from abe_redis.events.published import Published
from abe_redis.publishing.partitioner import Conversation, Partitioner
from abe_redis.runtime.arguments import check_function
from abe_redis.settings import Settings
from abe_redis.streams import names
from abe_redis.streams.patterns import Patterns
from abe_redis.testing.consumer import MemoryConsumer
from abe_redis.testing.delivery import MemoryGroups, StoredEntry

_OWN_ID_SECONDS = 3600
"""How long a mention is remembered when events are not, as at Redis."""


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter: an event that a group gave up on."""

    payload: dict[str, Any]
    group: str
    reason: str
    deliveries: int


class InMemoryBackend:
    """`RedisMessageQueueBackend` without Redis; an `EventWorker` works with it."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        conversation: Conversation | None = None,
        shared_with: "InMemoryBackend | None" = None,
    ) -> None:
        """An empty queue, or another way to that of another backend.

        Args:
            settings: By default those of the environment; where Redis is does not matter.
            conversation: As for `RedisMessageQueueBackend`.
            shared_with: A backend whose queue this one uses, as another process would.
        """
        if settings is not None:
            check_settings(settings, type(self))
        if conversation is not None:
            check_function("conversation", conversation, "a payload")
        if shared_with is not None and not isinstance(shared_with, InMemoryBackend):
            raise SettingsError(
                f"shared_with is of type {type(shared_with).__name__!r}; it must be an InMemoryBackend."
            )
        self.settings: Settings = settings or (shared_with.settings if shared_with else Settings())
        self.patterns = Patterns(self.settings.patterns, partitions=self.settings.redis_stream_partitions)
        self.away = False
        """Set it to simulate an outage of Redis: publishing raises, and consumers wait until it ends."""
        self._partitioner = Partitioner(self.patterns, conversation, self.settings.redis_stream_conversation)
        self._queue: _Queue = _Queue() if shared_with is None else shared_with._queue  # noqa: SLF001 - its own kind
        self._members = set[MemoryConsumer]()
        self._made = 0
        self._closed = False

    @classmethod
    def from_env(cls) -> Self:
        """A backend configured by the environment."""
        return cls(Settings())

    # As the real one -------------------------------------------------------------------------------------

    async def publish(self, key: str, payload: dict[str, Any]) -> None:
        """As `RedisMessageQueueBackend.publish`."""
        await self.publish_event(key, payload)

    async def publish_event(
        self,
        key: str,
        payload: dict[str, Any],
        *,
        event_id: str | None = None,
        origin: str | None = None,
        arrival: Arrival | None = None,
    ) -> Published:
        """As `RedisMessageQueueBackend.publish_event`."""
        if self._closed:
            raise ClosedError
        topic = names.check_stream(key)
        data, shown = codec.encode(payload), codec.as_origin(origin).decode() or None
        if arrival is not None:
            check_arrival(arrival)
        await anyio.lowlevel.checkpoint()
        if self.away:
            raise RedisUnavailableError(f"Redis is away, as the test has it, for publishing to {topic!r}.")
        conversation = (
            self._partitioner.name(payload) if self._partitioner.is_needed else conversation_of(payload)
        )
        fields = kinds.paths(" ".join(self.settings.redis_stream_event_id))
        event_id = event_id_of(payload, given=event_id, fields=fields)
        remembered = event_id if self.settings.redis_stream_dedup_seconds else None
        stream = topic
        if self._partitioner.is_needed:
            stream = self._partitioner.stream(topic, conversation or event_id or str(time.monotonic_ns()))
        if slack.is_health_check(payload) and not self.patterns.match(topic):
            remembered = None
        mention = mention_in(payload) if self.settings.redis_stream_merge_mentions else None
        if mention is not None and (twin := self._queue.twin(stream, mention)) is not None:
            return twin
        return self._queue.add(
            StoredEntry(stream, "", data, conversation, shown, TYPES if mention else (), arrival),
            remembered,
            self.settings.redis_stream_dedup_seconds,
            mention,
        )

    async def publish_many(
        self,
        key: str,
        payloads: Iterable[dict[str, Any]],
        *,
        origin: str | None = None,
    ) -> list[Published]:
        """As `RedisMessageQueueBackend.publish_many`."""
        if self._closed:
            raise ClosedError
        names.check_stream(key)
        codec.as_origin(origin)
        chosen = codec.each_payload(payloads)
        for payload in chosen:
            codec.encode(payload)
        done: list[Published] = []
        try:
            for payload in chosen:
                done.append(await self.publish_event(key, payload, origin=origin))  # noqa: PERF401 - for the error
        except AbeRedisError as error:
            error.added = dict(enumerate(done))
            raise
        return done

    def consume(self, *, group: str | None = None) -> EventStream:
        """As `RedisMessageQueueBackend.consume`."""
        return self._join(group, ordered=False)

    def consume_ordered(self, *, group: str | None = None) -> EventStream:
        """As `RedisMessageQueueBackend.consume_ordered`."""
        return self._join(group, ordered=True)

    def _join(self, group: str | None, *, ordered: bool) -> EventStream:
        if self._closed:
            raise ClosedError
        self._made += 1
        suffix = "" if self._made == 1 else f"-{self._made}"
        member = MemoryConsumer(
            self._queue.groups,
            lambda: not self.away,
            self.patterns,
            group=names.check_group(self.settings.redis_stream_group if group is None else group),
            name=names.check_consumer(self.settings.consumer_name + suffix),
            most_deliveries=self.settings.redis_stream_max_deliveries,
            ordered=ordered,
        )
        self._members.add(member)
        return EventStream(member)

    async def close(self) -> None:
        """End every `consume()` and give back what they hold; a queue that others share stays."""
        self._closed = True
        for member in self._members:
            await member.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # For tests alone -------------------------------------------------------------------------------------

    def published(self, stream: str | None = None) -> list[dict[str, Any]]:
        """The events of a stream, or of all of them, in the order in which they were published."""
        return [entry.payload() for entry in self._queue.entries if stream in {None, entry.stream}]

    def unfinished(self, group: str | None = None) -> int:
        """Number of events that a group has not finished, in the streams that are read."""
        name = names.check_group(self.settings.redis_stream_group if group is None else group)
        return self._queue.groups.unfinished(name, self.patterns)

    def buried(self, stream: str | None = None) -> list[Buried]:
        """The dead letters of a stream, or of all."""
        return [
            Buried(one.entry.payload(), one.group, one.reason, one.deliveries)
            for one in self._queue.groups.buried
            if stream in {None, one.entry.stream}
        ]

    async def finished(self, group: str | None = None) -> None:
        """Wait until a group has finished, or given up on, every event that was published."""
        while self.unfinished(group):
            await self._queue.groups.change()

    def lose_leases(self) -> None:
        """End the leases of all held events, as if a process had been frozen for too long."""
        self._queue.groups.lose_leases()


class _Queue:
    """The state that backends share."""

    def __init__(self) -> None:
        self.entries: list[StoredEntry] = []
        self.groups = MemoryGroups(self._all)
        self._seen: dict[tuple[str, str], tuple[float, str]] = {}
        self._mentions: dict[tuple[str, str], tuple[float, str, str]] = {}
        """Per mention: until when it is remembered, which of its events was added, and its id."""
        self._last: dict[str, tuple[int, int]] = {}

    def twin(self, stream: str, mention: Mention) -> Published | None:
        """The other event of a mention, if it was added to this stream."""
        until, kind, first = self._mentions.get((stream, mention.key), (0.0, "", ""))
        if until <= time.monotonic() or kind == mention.type:
            return None
        return Published(first, duplicate=True, length=self._length(stream), stream=stream)

    def add(
        self, new: StoredEntry, event_id: str | None, remember_seconds: float, mention: Mention | None
    ) -> Published:
        """Add an entry, unless an event of its id was added to its stream."""
        now, stream = time.monotonic(), new.stream
        length = self._length(stream)
        if event_id is not None:
            until, first = self._seen.get((stream, event_id), (0.0, ""))
            if until > now:
                return Published(first, duplicate=True, length=length, stream=stream)
        entry = replace(new, id=self._next_id(stream))
        self.entries.append(entry)
        if mention is not None:
            until = now + (remember_seconds or _OWN_ID_SECONDS)
            self._mentions[stream, mention.key] = until, mention.type, entry.id
        if event_id is not None:
            self._seen[stream, event_id] = now + remember_seconds, entry.id
        self.groups.add(entry)
        return Published(entry.id, duplicate=False, length=length + 1, stream=stream)

    def _length(self, stream: str) -> int:
        return sum(entry.stream == stream for entry in self.entries)

    def _next_id(self, stream: str) -> str:
        now, (last, number) = int(time.time() * 1000), self._last.get(stream, (0, 0))
        self._last[stream] = (now, 0) if now > last else (last, number + 1)
        return "{}-{}".format(*self._last[stream])

    def _all(self) -> Iterator[StoredEntry]:
        return iter(self.entries)

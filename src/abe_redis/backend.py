"""The back end that Slack MCP Server loads: `publish`, `consume` and `close` on Redis Streams."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import anyio

from abe_redis.client.connections import Connections
from abe_redis.consuming.base import GroupConsumer
from abe_redis.consuming.consumer import Consumer
from abe_redis.consuming.event_stream import EventStream
from abe_redis.consuming.ordered.consumer import OrderedConsumer
from abe_redis.errors import ClosedError
from abe_redis.events.published import Published
from abe_redis.observability import tracing
from abe_redis.publishing.outbox_file import OutboxSize
from abe_redis.publishing.partitioner import Conversation
from abe_redis.publishing.publisher import Publisher
from abe_redis.settings import Settings
from abe_redis.streams import names


class RedisMessageQueueBackend:
    """A message queue on Redis Streams: what was accepted is processed at least once.

    It opens its connections on first use, belongs to the event loop of that use, and is closed by
    `close()` or by leaving `async with`. It satisfies `abe.types.MessageQueueBackendProtocol`.
    """

    def __init__(self, settings: Settings, *, conversation: Conversation | None = None) -> None:
        """Configure a back end; nothing is opened yet.

        Args:
            settings: Where Redis is and how to behave there.
            conversation: Names the conversation of a payload that is published, of which the order counts,
                or gives None; by default its Slack team and channel.
        """
        self.settings = settings
        self.patterns = names.Patterns(settings.patterns, partitions=settings.redis_stream_partitions)
        """The streams that `consume()` discovers."""
        self._connections: Connections | None = None
        self._opening = anyio.Lock()
        self._closed = False
        tracing.trace_if_wanted()
        self._members = set[GroupConsumer]()
        self._consumers_made = 0
        self._name = settings.consumer_name
        self._publisher = Publisher(settings, self.patterns, self.connections, conversation)

    @classmethod
    def from_env(cls) -> Self:
        """A back end configured by the environment and, for what that lacks, by `.env`.

        Raises:
            SettingsError: A variable has a value that is not allowed.
        """
        return cls(Settings())

    async def publish(self, key: str, payload: dict[str, Any]) -> None:
        """Add an event to the stream `key`; when this returns, Redis has it, or the outbox.

        A Slack envelope whose `event_id` was published to this stream before is not added again.
        The envelope's verification `token` is left out: it is a secret.

        Args:
            key: The stream.
            payload: A JSON object of at most 8 MiB.

        Raises:
            RedisUnavailableError: Redis did not answer within 2.5 seconds of trying. (The
                event may have been added all the same, if only the answers were lost.) Not with
                `REDIS_OUTBOX`: then it is kept there.
            OutboxError: Neither Redis nor the outbox could take it; it may be full.
            RedisRefusedError: Redis refused it.
            PayloadError: The payload is not a JSON object, or too large.
            InvalidNameError: The stream's name is not allowed.
        """
        await self.publish_event(key, payload)

    async def publish_event(
        self, key: str, payload: dict[str, Any], *, event_id: str | None = None, origin: str | None = None
    ) -> Published:
        """Add an event, and say what became of it.

        Args:
            key: The stream.
            payload: A JSON object of at most 8 MiB.
            event_id: What makes it the same event; by default a Slack envelope's own `event_id`.
            origin: Who publishes, written beside the payload.

        Returns:
            Where it is in the stream; or `outbox.Kept`, while it waits in the outbox.

        Raises:
            AbeRedisError: As for `publish`.
        """
        if self._closed:
            raise ClosedError
        return await self._publisher.publish(key, payload, event_id=event_id, origin=origin)

    async def publish_many(
        self, key: str, payloads: Iterable[dict[str, Any]], *, origin: str | None = None
    ) -> list[Published]:
        """Add many events in order, with few round trips; as `publish` in all else.

        They are checked before the first is added. They go in steps of at most 100: when one fails, those
        before it were added, and doing all of it again adds no Slack envelope twice.

        Args:
            key: The stream.
            payloads: JSON objects of at most 8 MiB each.
            origin: Who publishes, written beside each payload.

        Returns:
            What became of each, as from `publish_event`.

        Raises:
            AbeRedisError: As for `publish`.
        """
        if self._closed:
            raise ClosedError
        return await self._publisher.publish_many(key, payloads, origin=origin)

    def consume(self, *, group: str | None = None) -> EventStream:
        """The events of every stream that matches `REDIS_STREAM_PATTERNS`, as they come.

        An event is acknowledged when the next one is asked for. If that does not happen, it is
        delivered again: to another consumer of the group, once its lease is over or this one is
        closed. Within a group each event goes to one consumer.

        Args:
            group: The consumer group; by default `REDIS_STREAM_GROUP`.

        Returns:
            An asynchronous iterator of `Event`, each a dict equal to the payload.

        Raises:
            ClosedError: This back end is closed.
            InvalidNameError: The group's name is not allowed.
        """
        return self._join(Consumer, group)

    def consume_ordered(self, *, group: str | None = None) -> EventStream:
        """As `consume`, but in the order of each conversation, across all consumers of the group.

        The events of a conversation go to one consumer at a time, one after the other as they were
        published: the next when the one before was acknowledged or buried. All consumers of the group
        must be ordered.

        Raises:
            ClosedError: This back end is closed.
            InvalidNameError: The group's name is not allowed.
        """
        return self._join(OrderedConsumer, group)

    def _join(self, kind: type[Consumer | OrderedConsumer], group: str | None) -> EventStream:
        if self._closed:
            raise ClosedError
        self._consumers_made += 1
        suffix = "" if self._consumers_made == 1 else f"-{self._consumers_made}"
        member: GroupConsumer = kind(
            self.connections,
            self.settings,
            self.patterns,
            group=names.check_group(group or self.settings.redis_stream_group),
            name=names.check_consumer(self._name + suffix),
        )
        self._members.add(member)
        member.on_closed = self._members.discard
        return EventStream(member)

    async def close(self) -> None:
        """End every `consume()`, give back what they hold, and close the connections.

        What is in the outbox stays there for the next process that names the file.
        """
        self._closed = True
        for member in list(self._members):
            await member.close()
        if self._publisher.outbox is not None:
            await self._publisher.outbox.close()
        async with self._opening:
            connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.redis_url!r})"

    async def connections(self) -> Connections:
        """The connections, opened on first use.

        Raises:
            ClosedError: This back end is closed.
            AbeRedisError: They cannot be opened with these settings.
        """
        if self._connections is not None:
            return self._connections
        async with self._opening:
            if self._connections is None:
                if self._closed:
                    raise ClosedError
                self._connections = await Connections.open(self.settings)
                if self._publisher.outbox is not None:
                    self._publisher.outbox.start()
            return self._connections

    async def outbox_size(self) -> OutboxSize:
        """How many events `REDIS_OUTBOX` holds, of every process that names it; zeros without one.

        Raises:
            OutboxError: The file cannot be used.
        """
        return (
            OutboxSize(waiting=0, refused=0)
            if self._publisher.outbox is None
            else await self._publisher.outbox.size()
        )

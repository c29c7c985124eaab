"""The backend that Slack MCP Server loads: `publish`, `consume` and `close` on Redis Streams."""

import contextlib
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Any, Self

import anyio

from abe_redis.client.connections import Connections
from abe_redis.consuming.consumer import Consumer
from abe_redis.consuming.event_stream import EventStream
from abe_redis.consuming.group_consumer import GroupConsumer
from abe_redis.consuming.ordered.consumer import OrderedConsumer
from abe_redis.errors import ClosedError, SettingsError
from abe_redis.events.arrival import Arrival
from abe_redis.events.published import Published
from abe_redis.observability import tracing
from abe_redis.publishing.loop_share import LoopShare
from abe_redis.publishing.outbox_file import OutboxSize
from abe_redis.publishing.partitioner import Conversation
from abe_redis.publishing.publisher import Publisher
from abe_redis.runtime import fork
from abe_redis.runtime.arguments import check_function
from abe_redis.runtime.per_loop import PerLoop, running_loop
from abe_redis.settings import Settings
from abe_redis.streams import names
from abe_redis.streams.patterns import Patterns, narrowed


def check_settings(given: object, of: type) -> None:
    """Refuse what is no Settings.

    Raises:
        SettingsError: It is none. It is not repeated: a URL may hold a password.
    """
    if not isinstance(given, Settings):
        what = of.__name__
        raise SettingsError(
            f"{what} takes Settings, not {type(given).__name__!r}: write "
            f"{what}(Settings(redis_url=…)), or {what}.from_env()."
        )


class RedisMessageQueueBackend:
    """A message queue on Redis Streams: every accepted event is processed at least once.

    It opens its connections on first use, separately in each event loop and process. `close()`, or the end of
    `async with`, closes them; those of a loop are also closed with that loop. It satisfies
    `abe.types.MessageQueueBackendProtocol`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        conversation: Conversation | None = None,
        streams: Collection[str] = (),
        forwards: bool = True,
    ) -> None:
        """Configure a backend; it connects to nothing yet.

        In a running event loop it begins to `forward()`.

        Args:
            settings: How to reach Redis, and how to use it.
            conversation: Returns the conversation of a published payload, or None if its order does not
                matter; by default as `REDIS_STREAM_CONVERSATION` says.
            streams: Names and patterns that restrict what `consume()` reads of the streams that
                `REDIS_STREAM_PATTERNS` names; by default it reads all of them.
            forwards: Whether it forwards what others have left in `REDIS_OUTBOX`. What only looks at the
                queue does not, so that it changes nothing of what it shows.

        Raises:
            SettingsError: One of them is not valid.
            InvalidNameError: One of the streams is not among those of `REDIS_STREAM_PATTERNS`.
        """
        check_settings(settings, type(self))
        if conversation is not None:
            check_function("conversation", conversation, "a payload")
        self.settings = settings
        self._published = Patterns(settings.patterns, partitions=settings.redis_stream_partitions)
        """The streams that somebody consumes."""
        self.patterns = narrowed(self._published, streams)
        """The streams that `consume()` discovers."""
        self._streams = streams
        self._conversation = conversation
        self._forwards = forwards
        self._closed = False
        tracing.trace_if_wanted()
        self._shares = PerLoop(self._make_share, forsake=LoopShare.forsake)
        self._begin()
        self._forward_where_made()

    def _forward_where_made(self) -> None:
        with contextlib.suppress(RuntimeError):  # no loop is running yet
            self.forward()

    def _begin(self) -> None:
        """Make the parts that belong to this process alone, also after a fork."""
        self._generation = fork.generation()
        self._members = set[GroupConsumer]()
        self._consumers_made = 0
        self._name = self.settings.consumer_name

    def _make_share(self) -> LoopShare:
        return LoopShare(self.settings, self._published, self._conversation, forwards=self._forwards)

    @property
    def _publisher(self) -> Publisher:
        """The part of the running event loop."""
        return self._shares.here().publisher

    @classmethod
    def from_env(cls) -> Self:
        """A backend configured by the environment and, for variables that it lacks, by `.env`.

        Raises:
            SettingsError: A variable has a value that is not allowed.
        """
        return cls(Settings())

    async def publish(self, key: str, payload: dict[str, Any]) -> None:
        """Add an event to the stream `key`. When this returns, Redis or the outbox has it.

        A Slack envelope whose `event_id` was published to this stream before is not added again.
        The envelope's verification `token` is left out: it is a secret.

        Args:
            key: The stream.
            payload: A JSON object of at most 8 MiB.

        Raises:
            RedisUnavailableError: Redis did not answer within 2.5 seconds. If only the answer was lost, the
                event may have been added all the same: then `uncertain` of the error is not empty. With
                `REDIS_OUTBOX`, the event is kept there instead.
            OutboxError: Neither Redis nor the outbox could take it; it may be full.
            RedisRefusedError: Redis refused the event.
            PayloadError: The payload is not a JSON object, or too large.
            InvalidNameError: The stream's name is not allowed.
        """
        if self._closed:
            raise ClosedError
        await self._publisher.publish(key, payload)

    async def publish_event(
        self,
        key: str,
        payload: dict[str, Any],
        *,
        event_id: str | None = None,
        origin: str | None = None,
        arrival: Arrival | None = None,
    ) -> Published:
        """Add an event, and return the result.

        Args:
            key: The stream.
            payload: A JSON object of at most 8 MiB.
            event_id: The identity of the event; by default a Slack envelope's own `event_id`.
            origin: The publisher, written beside the payload.
            arrival: How Slack delivered it, written beside the payload.

        Returns:
            Its place in the stream; or `outbox.Kept`, while it waits in the outbox.

        Raises:
            AbeRedisError: As for `publish`.
        """
        if self._closed:
            raise ClosedError
        return await self._publisher.publish(key, payload, event_id=event_id, origin=origin, arrival=arrival)

    async def publish_many(
        self, key: str, payloads: Iterable[dict[str, Any]], *, origin: str | None = None
    ) -> list[Published]:
        """Add many events in order, with few round trips; otherwise as `publish`.

        All are checked before the first is added. They are added in steps of at most 100. When that fails in
        the middle, `added` of the error has the results of those that were added all the same, by their
        places among the payloads, and `uncertain` the places of those that Redis may have. All others were
        not added. A repeated call adds no Slack envelope twice.

        Args:
            key: The stream.
            payloads: JSON objects of at most 8 MiB each.
            origin: The publisher, written beside each payload.

        Returns:
            The result for each, as from `publish_event`.

        Raises:
            AbeRedisError: As for `publish`, and it says which events were added.
        """
        if self._closed:
            raise ClosedError
        return await self._publisher.publish_many(key, payloads, origin=origin)

    def consume(self, *, group: str | None = None) -> EventStream:
        """The events of every stream that matches `REDIS_STREAM_PATTERNS`, as they come.

        Asking for the next event acknowledges the one before. If that does not happen, the event is delivered
        again, to any consumer of the group, when its lease expires or this consumer is closed. Within a group
        each event goes to one consumer.

        Args:
            group: The consumer group; by default `REDIS_STREAM_GROUP`.

        Returns:
            An asynchronous iterator of `Event`, each a dict equal to the payload.

        Raises:
            ClosedError: This backend is closed.
            InvalidNameError: The group's name is not allowed.
        """
        return self._join(Consumer, group)

    def consume_ordered(self, *, group: str | None = None) -> EventStream:
        """As `consume`, but in the order of each conversation, across all consumers of the group.

        The events of a conversation go to one consumer at a time, in the order in which they were published:
        each one when the one before is acknowledged or buried. All consumers of the group must be ordered.
        Each topic has its own order.

        Raises:
            ClosedError: This backend is closed.
            InvalidNameError: The group's name is not allowed.
        """
        return self._join(OrderedConsumer, group)

    def _join(self, kind: type[Consumer | OrderedConsumer], group: str | None) -> EventStream:
        if self._closed:
            raise ClosedError
        group = names.check_group(self.settings.redis_stream_group if group is None else group)
        return EventStream(self._member(kind, group), anew=lambda: self._member(kind, group))

    def _member(self, kind: type[Consumer | OrderedConsumer], group: str) -> GroupConsumer:
        if self._generation != fork.generation():
            fork.leave_alone(self._members)
            self._begin()
        self._consumers_made += 1
        suffix = "" if self._consumers_made == 1 else f"-{self._consumers_made}"
        member: GroupConsumer = kind(
            self.connections,
            self.settings,
            self.patterns,
            group=group,
            name=names.check_consumer(self._name + suffix),
        )
        self._members.add(member)
        member.on_closed = self._members.discard
        return member

    async def close(self) -> None:
        """End every `consume()`, release the held events, and close the connections.

        Events in the outbox stay there for the next process that uses the file.
        """
        self._closed = True
        if self._generation == fork.generation():  # else they belong to the parent
            for member in list(self._members):
                await member.close()
        await self._shares.end(LoopShare.close)

    async def __aenter__(self) -> Self:
        self.forward()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.redis_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        """The state that another process needs to make the same backend; the rest belongs to this process."""
        return {
            "settings": self.settings,
            "conversation": self._conversation,
            "streams": self._streams,
            "forwards": self._forwards,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def forward(self) -> None:
        """Forward what an earlier process left in `REDIS_OUTBOX`, in the running event loop.

        A backend does so by itself when it is made in a running loop, by `async with`, and when it connects.
        A program that makes it earlier calls this at its start, or what was kept waits for the next event.

        Raises:
            RuntimeError: No event loop of asyncio is running in this thread.
        """
        running_loop()
        if self.settings.redis_outbox is not None and not self._closed:
            self._shares.here().forward()

    async def connections(self) -> Connections:
        """The connections of the running event loop, opened on first use.

        Raises:
            ClosedError: This backend is closed.
            AbeRedisError: They cannot be opened with these settings.
        """
        share = self._shares.here()
        if self._closed and not share.is_open:
            raise ClosedError
        return await share.connections()

    async def outbox_size(self) -> OutboxSize:
        """What is in `REDIS_OUTBOX`, of all processes that share it; zeros without one.

        Raises:
            OutboxError: The file cannot be used.
        """
        outbox = self._publisher.outbox
        return OutboxSize(waiting=0, refused=0) if outbox is None else await outbox.size()

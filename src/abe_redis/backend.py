"""The back end that Slack MCP Server loads: `publish`, `consume` and `close` on Redis Streams."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import count
from types import TracebackType
from typing import Any, Self

import anyio
from redis.asyncio import Redis

from abe_redis import envelope, faults
from abe_redis.connection import Connections
from abe_redis.consumer import Consumer
from abe_redis.errors import ClosedError
from abe_redis.event_stream import EventStream
from abe_redis.outbox import Kept, Outbox, concerns_the_event, send
from abe_redis.outbox_file import OutboxSize, Row
from abe_redis.settings import Settings
from abe_redis.streams import names
from abe_redis.streams.publish import OWN_ID_SECONDS, Published, announce, publish_health_check
from abe_redis.streams.trim import Trimmer

_LOG = logging.getLogger(__name__)

PUBLISH_SECONDS = 2.5
"""How long `publish` tries: Slack waits three seconds for the host's answer."""

ANNOUNCE_SECONDS = 30
"""A stream is written into the index again after so long, in case the index was deleted."""

_REMEMBERED_NAMES = 10_000

TEND_SECONDS = 0.4
"""How long a publish that is done may still take for what its stream needs now and then."""


class RedisMessageQueueBackend:
    """A message queue on Redis Streams: what was accepted is processed at least once.

    It opens its connections on first use, belongs to the event loop of that use, and is closed by
    `close()` or by leaving `async with`. It satisfies `abe.types.MessageQueueBackendProtocol`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.patterns = names.Patterns(settings.patterns)
        """The streams that `consume()` discovers."""
        self._connections: Connections | None = None
        self._opening = anyio.Lock()
        self._closed = False
        self._consumers: set[Consumer] = set()
        self._consumers_made = 0
        self._name = settings.consumer_name
        self._announced: dict[str, float] = {}
        self._checked: set[str] = set()
        """Names of streams that were found good."""
        self._unread: set[str] = set()
        """Those of them that no pattern matches, until that was said."""
        self._attempts = os.urandom(8).hex()
        self._attempt_numbers = count()
        self._trimmer = Trimmer(settings.redis_stream_maxlen, idle_days=settings.redis_stream_group_idle_days)
        self._outbox = (
            Outbox(settings.redis_outbox, settings, self.connections, self._tend)
            if settings.redis_outbox
            else None
        )

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
        stream = key if key in self._checked else self._check(key)
        row = self._row(stream, payload, event_id, origin)
        if envelope.is_health_check(payload) and not self.patterns.match(stream):
            # Never kept in the outbox: it asks whether Redis takes events now.
            (published,) = await self._persist(
                stream, lambda redis: publish_health_check(redis, stream, row.fields)
            )
        else:
            (published,) = await self._publish(stream, [row])
        return published

    async def publish_many(self, key: str, payloads: Iterable[dict[str, Any]]) -> list[Published]:
        """Add many events in order, with few round trips; as `publish` in all else.

        They are checked before the first is added. They go in steps of at most 100: when one fails, those
        before it were added, and doing all of it again adds no Slack envelope twice.

        Args:
            key: The stream.
            payloads: JSON objects of at most 8 MiB each.

        Returns:
            What became of each, as from `publish_event`.

        Raises:
            AbeRedisError: As for `publish`.
        """
        if self._closed:
            raise ClosedError
        stream = key if key in self._checked else self._check(key)
        done: list[Published] = []
        for step in list(_steps([self._row(stream, payload, None, None) for payload in payloads])):
            done += await self._publish(stream, step)
        return done

    def _row(self, stream: str, payload: dict[str, Any], event_id: str | None, origin: str | None) -> Row:
        """What is sent of an event, with the ids that make repeating it harmless."""
        fields = {envelope.DATA: envelope.encode(payload)}
        if origin:
            fields[envelope.ORIGIN] = origin.encode()
        attempt = f"{self._attempts}{next(self._attempt_numbers):016x}"
        event_id = event_id or envelope.slack_event_id(payload)
        dedup_seconds = self.settings.redis_stream_dedup_seconds
        if event_id and dedup_seconds:
            return Row(stream, fields, f"event:{event_id}", attempt, dedup_seconds)
        return Row(stream, fields, attempt, attempt, OWN_ID_SECONDS)

    async def _publish(self, stream: str, rows: list[Row]) -> list[Published]:
        if stream in self._unread:
            self._warn_once(stream)
        done: list[Published] = []
        if self._outbox is not None:
            while rows and (kept := await self._outbox.keep_behind(rows[0])) is not None:
                done.append(kept)
                rows = rows[1:]
        if rows:
            done += await self._persist(stream, lambda redis: send(redis, rows, self.settings), rows)
            if not isinstance(done[-1], Kept):
                await self._tend(stream, done[-1])
        return done

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
        if self._closed:
            raise ClosedError
        self._consumers_made += 1
        suffix = "" if self._consumers_made == 1 else f"-{self._consumers_made}"
        consumer = Consumer(
            self.connections,
            self.settings,
            self.patterns,
            group=names.check_group(group or self.settings.redis_stream_group),
            name=names.check_consumer(self._name + suffix),
        )
        self._consumers.add(consumer)
        consumer.on_closed = self._consumers.discard
        return EventStream(consumer)

    async def close(self) -> None:
        """End every `consume()`, give back what they hold, and close the connections.

        What is in the outbox stays there for the next process that names the file.
        """
        self._closed = True
        for consumer in list(self._consumers):
            await consumer.close()
        if self._outbox is not None:
            await self._outbox.close()
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
                if self._outbox is not None:
                    self._outbox.start()
            return self._connections

    async def outbox_size(self) -> OutboxSize:
        """How many events `REDIS_OUTBOX` holds, of every process that names it; zeros without one.

        Raises:
            OutboxError: The file cannot be used.
        """
        return OutboxSize(waiting=0, refused=0) if self._outbox is None else await self._outbox.size()

    async def _persist(
        self, stream: str, attempt: Callable[[Redis], Awaitable[list[Published]]], rows: Sequence[Row] = ()
    ) -> list[Published]:
        """Try until Redis has answered or the budget is spent, and then keep `rows` in the outbox.

        What is sent must be repeatable.
        """
        connections = await self.connections()
        deadline, pause = time.monotonic() + PUBLISH_SECONDS, 0.05
        reason: Exception | None = None
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    return await attempt(connections.commands)
            except faults.FAILURES as error:
                # That our own time was up says less than what went wrong before.
                reason = reason if reason and isinstance(error, TimeoutError) else error
                if not faults.passes(error) or time.monotonic() + pause >= deadline:
                    sentence = faults.explain(reason, self.settings, doing=f"publishing to {stream!r}")
                    if not rows or self._outbox is None or concerns_the_event(reason):
                        raise sentence from None
                    return [await self._outbox.keep(row, sentence) for row in rows]
            await anyio.sleep(pause)
            pause = min(2 * pause, 0.4)
            await connections.revive()

    async def _tend(self, stream: str, published: Published) -> None:
        """What a stream needs now and then; the event is safe whatever becomes of this."""
        now = time.monotonic()
        if now < self._announced.get(stream, 0) and not self._trimmer.is_due(stream, published.length):
            return
        try:
            with anyio.move_on_after(TEND_SECONDS):
                redis = (await self.connections()).commands
                if now >= self._announced.get(stream, 0) and self.patterns.match(stream):
                    await announce(redis, [stream])
                    self._announced[stream] = now + ANNOUNCE_SECONDS
                if self._trimmer.is_due(stream, published.length):
                    await self._trimmer.trim(redis, [stream])
        except ClosedError:
            pass
        except faults.FAILURES as error:
            level = logging.DEBUG if faults.passes(error) else logging.WARNING
            sentence = faults.explain(error, self.settings, doing=f"announcing or trimming {stream!r}")
            _LOG.log(level, "The event was published, but: %s", sentence)

    def _check(self, key: str) -> str:
        stream = names.check_stream(key)
        if len(self._checked) >= _REMEMBERED_NAMES:
            self._checked.clear()
        self._checked.add(stream)
        if not self.patterns.match(stream):
            self._unread.add(stream)
        return stream

    def _warn_once(self, stream: str) -> None:
        self._unread.discard(stream)
        _LOG.warning(
            "Publishing to %r, which no consumer of these settings reads: REDIS_STREAM_PATTERNS is %s.",
            stream,
            self.patterns,
        )


_STEP = 100
_STEP_BYTES = 1024 * 1024
"""How many events one command adds at most, so that the server is never held up by many or large ones."""


def _steps(rows: Sequence[Row]) -> Iterator[list[Row]]:
    step: list[Row] = []
    size = 0
    for row in rows:
        size += len(row.fields[envelope.DATA])
        if step and (len(step) == _STEP or size > _STEP_BYTES):
            yield step
            step, size = [], len(row.fields[envelope.DATA])
        step.append(row)
    if step:
        yield step

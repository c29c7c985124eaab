"""The way of an event into Redis: what is sent, how long it is tried, and what its stream needs then."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import anyio
from redis.asyncio import Redis

from abe_redis import envelope, faults
from abe_redis.connection import Connections
from abe_redis.errors import ClosedError
from abe_redis.outbox import Kept, Outbox, concerns_the_event, send
from abe_redis.outbox_file import Row
from abe_redis.settings import Settings
from abe_redis.streams import names
from abe_redis.streams.publish import OWN_ID_SECONDS, Published, announce, publish_health_check
from abe_redis.streams.trim import Trimmer

_LOG = logging.getLogger(__name__)

PUBLISH_SECONDS = 2.5
"""How long `publish` tries: Slack waits three seconds for the host's answer."""

ANNOUNCE_SECONDS = 30
"""A stream is written into the index again after so long, in case the index was deleted."""

TEND_SECONDS = 0.4
"""How long a publish that is done may still take for what its stream needs now and then."""

STEP = 100
STEP_BYTES = 1024 * 1024
"""How many events one command adds at most, so that the server is never held up by many or large ones."""

_REMEMBERED_NAMES = 10_000


class Publisher:
    """Adds events to streams, or keeps them in the outbox while Redis is away."""

    def __init__(
        self,
        settings: Settings,
        patterns: names.Patterns,
        connections: Callable[[], Awaitable[Connections]],
    ) -> None:
        self.outbox = (
            Outbox(settings.redis_outbox, settings, connections, self._tend)
            if settings.redis_outbox
            else None
        )
        """What waits on disk; None without `REDIS_OUTBOX`."""
        self._settings = settings
        self._patterns = patterns
        self._open = connections
        self._trimmer = Trimmer(settings)
        self._announced: dict[str, float] = {}
        self._checked: set[str] = set()
        """Names of streams that were found good."""
        self._unread: set[str] = set()
        """Those of them that no pattern matches, until that was said."""
        self._attempts = os.urandom(8).hex()
        self._attempt_numbers = count()

    async def publish(
        self, key: str, payload: dict[str, Any], *, event_id: str | None, origin: str | None
    ) -> Published:
        """Add an event, and say what became of it.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish`.
        """
        stream = self._checked_name(key)
        row = self._row(stream, payload, event_id, origin)
        if envelope.is_health_check(payload) and not self._patterns.match(stream):
            # Never kept in the outbox: it asks whether Redis takes events now.
            (published,) = await self._persist(
                stream, lambda redis: publish_health_check(redis, stream, row.fields)
            )
        else:
            (published,) = await self._publish(stream, [row])
        return published

    async def publish_many(self, key: str, payloads: Iterable[dict[str, Any]]) -> list[Published]:
        """Add events in order, some at a time, and say what became of each.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish`.
        """
        stream = self._checked_name(key)
        rows = [self._row(stream, payload, None, None) for payload in payloads]
        done: list[Published] = []
        for step in _steps(rows):
            done += await self._publish(stream, step)
        return done

    def _row(self, stream: str, payload: dict[str, Any], event_id: str | None, origin: str | None) -> Row:
        """What is sent of an event, with the ids that make repeating it harmless."""
        fields = {envelope.DATA: envelope.encode(payload)}
        if origin:
            fields[envelope.ORIGIN] = origin.encode()
        attempt = f"{self._attempts}{next(self._attempt_numbers):016x}"
        event_id = event_id or envelope.slack_event_id(payload)
        dedup_seconds = self._settings.redis_stream_dedup_seconds
        if event_id and dedup_seconds:
            return Row(stream, fields, f"event:{event_id}", attempt, dedup_seconds)
        return Row(stream, fields, attempt, attempt, OWN_ID_SECONDS)

    async def _publish(self, stream: str, rows: list[Row]) -> list[Published]:
        if stream in self._unread:
            self._warn_once(stream)
        done: list[Published] = []
        if self.outbox is not None:
            while rows and (kept := await self.outbox.keep_behind(rows[0])) is not None:
                done.append(kept)
                rows = rows[1:]
        if rows:
            done += await self._persist(stream, lambda redis: send(redis, rows, self._settings), rows)
            if not isinstance(done[-1], Kept):
                await self._tend(stream, done[-1])
        return done

    async def _persist(
        self, stream: str, attempt: Callable[[Redis], Awaitable[list[Published]]], rows: Sequence[Row] = ()
    ) -> list[Published]:
        """Try until Redis has answered or the budget is spent, and then keep `rows` in the outbox.

        What is sent must be repeatable.
        """
        connections = await self._open()
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
                    sentence = faults.explain(reason, self._settings, doing=f"publishing to {stream!r}")
                    if not rows or self.outbox is None or concerns_the_event(reason):
                        raise sentence from None
                    return [await self.outbox.keep(row, sentence) for row in rows]
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
                redis = (await self._open()).commands
                if now >= self._announced.get(stream, 0) and self._patterns.match(stream):
                    await announce(redis, [stream])
                    self._announced[stream] = now + ANNOUNCE_SECONDS
                if self._trimmer.is_due(stream, published.length):
                    await self._trimmer.trim(redis, [stream])
        except ClosedError:
            pass
        except faults.FAILURES as error:
            level = logging.DEBUG if faults.passes(error) else logging.WARNING
            sentence = faults.explain(error, self._settings, doing=f"announcing or trimming {stream!r}")
            _LOG.log(level, "The event was published, but: %s", sentence)

    def _checked_name(self, key: str) -> str:
        if type(key) is str and key in self._checked:  # whatever else it is may have no hash
            return key
        stream = names.check_stream(key)
        if len(self._checked) >= _REMEMBERED_NAMES:
            self._checked.clear()
        self._checked.add(stream)
        if not self._patterns.match(stream):
            self._unread.add(stream)
        return stream

    def _warn_once(self, stream: str) -> None:
        self._unread.discard(stream)
        _LOG.warning(
            "Publishing to %r, which no consumer of these settings reads: REDIS_STREAM_PATTERNS is %s.",
            stream,
            self._patterns,
        )


def _steps(rows: Sequence[Row]) -> Iterator[list[Row]]:
    step: list[Row] = []
    size = 0
    for row in rows:
        size += len(row.fields[envelope.DATA])
        if step and (len(step) == STEP or size > STEP_BYTES):
            yield step
            step, size = [], len(row.fields[envelope.DATA])
        step.append(row)
    if step:
        yield step

"""Publishing by hand: what a person or an agent adds to a stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from abe_redis.errors import AbeRedisError, InvalidArgumentError, RequestError
from abe_redis.events import codec
from abe_redis.events.identity import event_id_of
from abe_redis.events.published import Published
from abe_redis.operations import event_views
from abe_redis.operations.changing import END_SECONDS
from abe_redis.operations.payloads import Payloads
from abe_redis.publishing.outbox_kept import reason_of
from abe_redis.runtime import tasks
from abe_redis.runtime.arguments import check_text
from abe_redis.runtime.shell import command
from abe_redis.schemas import MAX_EVENT_ID, PublishResult
from abe_redis.streams import names, peek


class Publishing(Payloads):
    """The operations that add events."""

    async def publish_event(
        self, payload: dict[str, Any], *, stream: str | None = None, event_id: str | None = None
    ) -> PublishResult:
        """Add an event.

        Args:
            payload: A JSON object of at most 8 MiB.
            stream: By default the host's topic.
            event_id: At most 256 characters; a stream adds the same one only once.
        """
        self.agent_leases.touch()
        if event_id is not None:
            check_text("event_id", event_id, may_be_empty=True)
        if event_id is not None and not 0 < len(event_id) <= MAX_EVENT_ID:
            raise InvalidArgumentError(
                f"event_id has {len(event_id)} characters; give it 1 to {MAX_EVENT_ID}."
            )
        name = self._scope.exact(names.check_stream(self._scope.allowed(stream)))
        await self._check_publishable(name)
        if self._scope.limits.is_limited:
            size = len(event_views.compact(payload).encode(errors="surrogatepass"))
            self._scope.limits.spend(1, size)
        if (known := await self._is_there(name, payload, event_id)) is not None:
            return PublishResult(stream=name, id=known, duplicate=True)
        publishing = self._published(name, payload, event_id)
        published = await tasks.to_its_end(publishing, within=END_SECONDS)
        may_be_new = not (published.duplicate or published.is_kept)
        return _result(published, new_stream=may_be_new and await self._scope.is_new(name))

    async def _published(self, name: str, payload: dict[str, Any], event_id: str | None) -> Published:
        """Add an event, and record it."""
        own = _own_id(payload, event_id)
        async with self._recorded("publish_event", name, [own] if own else 1) as done:
            adding = self._backend.publish_event(name, payload, event_id=event_id, origin=self._origin)
            done.append(await adding)
        return done[0]

    async def _is_there(self, name: str, payload: object, event_id: str | None) -> str | None:
        """The entry of an event that an agent publishes a second time."""
        own = _own_id(payload, event_id)
        if self._origin != codec.AGENT or own is None:
            return None
        async with self._scope.redis(f"publishing to {name!r}") as redis:
            is_there = await peek.kind(redis, name) == "stream"
            return await peek.remembered(redis, name, [own]) if is_there else None

    async def _check_publishable(self, name: str) -> None:
        """Refuse to make a stream that the caller may not make: a partition, or too many.

        Raises:
            RequestError: There is no such stream, and the caller may not make it.
        """
        limits = self._scope.limits
        if not limits.is_limited or name in self._backend.patterns.literals:
            return
        async with self._scope.redis(f"publishing to {name!r}") as redis:
            if await peek.kind(redis, name) != "none":
                return
        if topic := names.topic_of(name):
            raise RequestError(
                f"{name!r} is a partition that does not exist. Publish to the topic {topic!r}, which knows "
                "its partitions."
            )
        limits.open_stream()

    async def publish_many(
        self, payloads: Sequence[dict[str, Any]], *, stream: str | None = None
    ) -> list[PublishResult]:
        """Add events in order, with few round trips.

        Args:
            payloads: JSON objects of at most 8 MiB each; all are checked before the first is added.
            stream: By default the host's topic.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish_many`: it says which were added.
        """
        self.agent_leases.touch()
        name = self._scope.exact(names.check_stream(self._scope.allowed(stream)))
        done = await tasks.to_its_end(self._published_many(name, payloads), within=END_SECONDS)
        return [_result(one) for one in done]

    async def _published_many(self, name: str, payloads: Sequence[dict[str, Any]]) -> list[Published]:
        """Add events, and record those that were added."""
        every = codec.each_payload(payloads)
        async with self._recorded("publish_many", name, len(every)) as done:
            done.extend(await self._backend.publish_many(name, every, origin=self._origin))
        return done

    @asynccontextmanager
    async def _recorded(self, what: str, name: str, which: list[str] | int) -> AsyncIterator[list[Published]]:
        """Record what a block has added, and what it may have added if it fails or must stop.

        Args:
            what: The name of the change in the audit.
            name: The stream, or the topic.
            which: The ids of the events that it adds, or how many they are.

        Yields:
            The list of what it has added.
        """
        done, facts = list[Published](), dict[str, object]()
        try:
            yield done
        except asyncio.CancelledError:  # its time is over, and nobody knows what Redis has
            facts["uncertain"] = which
            raise
        except AbeRedisError as error:
            done += error.added.values()
            if error.uncertain:
                facts["uncertain"] = len(error.uncertain) if isinstance(which, int) else which
                look = f"look before you do it again: `{command('read', name)}`."
                error.args = (f"{error} It may be done all the same: {look}",)
            raise
        finally:
            stream = done[0].stream if done and what == "publish_event" else name
            facts["ids"] = [one.id for one in done if not one.duplicate]
            if any(facts.values()):
                noting = self._scope.note(what, stream=stream, **facts)
                await tasks.to_its_end(noting, within=END_SECONDS)


def _own_id(payload: object, event_id: str | None) -> str | None:
    """The id that an event has of its own."""
    return event_id_of(payload, given=event_id) if isinstance(payload, dict) else None  # which is refused


def _result(published: Published, *, new_stream: bool = False) -> PublishResult:
    return PublishResult(
        stream=published.stream,
        id=published.id,
        duplicate=published.duplicate,
        waiting=published.is_kept,
        reason=reason_of(published),
        new_stream=new_stream,
    )

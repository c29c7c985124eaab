"""Publishing an event to Redis: the draft, the retries, and the maintenance of its stream."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.client.passing_states import is_full
from abe_redis.errors import AbeRedisError, EmbeddedServerError
from abe_redis.events import codec, kinds, slack
from abe_redis.events.arrival import ARRIVAL, Arrival, check_arrival
from abe_redis.events.identity import event_id_of, of_agent
from abe_redis.events.mentions import mention_in
from abe_redis.events.published import Published
from abe_redis.observability import hooks
from abe_redis.publishing.batcher import Batcher
from abe_redis.publishing.in_turn import InTurn
from abe_redis.publishing.maintenance import Maintenance
from abe_redis.publishing.many import ANSWER_SECONDS, steps, telling_what_was_added
from abe_redis.publishing.outbox_delivery import Outbox
from abe_redis.publishing.outbox_fate import concerns_the_event
from abe_redis.publishing.partitioner import Conversation, Partitioner
from abe_redis.publishing.retry import FirstTry, retry
from abe_redis.settings import Settings
from abe_redis.streams import names, seen
from abe_redis.streams.outcomes import Outcomes, nothing_was_done
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import OWN_ID_SECONDS, Draft, publish, publish_health_check

_LOG = logging.getLogger(__name__)

PUBLISH_SECONDS = 2.5
"""Time for which `publish` tries; Slack waits three seconds for the host's answer."""

_IS_AWAY = (*failures.FAILURES, EmbeddedServerError)
"""What Redis or the connection raises, or an embedded server that cannot be started."""

_REMEMBERED_NAMES = 10_000


class Publisher:
    """Adds events to streams, or keeps them in the outbox while Redis is away."""

    def __init__(
        self,
        settings: Settings,
        patterns: Patterns,
        connections: Callable[[], Awaitable[Connections]],
        conversation: Conversation | None = None,
    ) -> None:
        self._maintenance = Maintenance(settings, patterns, connections)
        self.outbox = (
            Outbox(settings.redis_outbox, settings, connections, self._maintenance.tend)
            if settings.redis_outbox
            else None
        )
        """The outbox; None without `REDIS_OUTBOX`."""
        self._settings = settings
        self._dedup_seconds = settings.redis_stream_dedup_seconds
        self._id_fields = kinds.paths(" ".join(settings.redis_stream_event_id))
        self._merges_mentions = settings.redis_stream_merge_mentions
        self._hard_maxlen = settings.redis_stream_hard_maxlen
        self._patterns = patterns
        self._partitioner = Partitioner(patterns, conversation, settings.redis_stream_conversation)
        self._is_partitioned = self._partitioner.is_needed
        self._open = connections
        self._views = seen.Views()
        self._batcher: Batcher | None = None
        self._checked: set[str] = set()
        """Names of streams that passed the check."""
        self._unread: set[str] = set()
        """Those of them that no pattern matches, until the log has said so."""
        self._attempts = os.urandom(8).hex()
        self._attempt_numbers = count()

    def publish(
        self,
        key: str,
        payload: dict[str, Any],
        *,
        event_id: str | None = None,
        origin: str | None = None,
        arrival: Arrival | None = None,
    ) -> Coroutine[Any, Any, Published]:
        """Add an event, and return the result.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish`.
        """
        topic = self._checked_name(key)
        draft = self._draft(topic, payload, event_id, origin)
        if arrival is not None:
            draft.fields[ARRIVAL] = check_arrival(arrival).written()
        if (end := hooks.publishing(draft.stream, [draft.fields])) is None:
            return self._publish(topic, payload, draft)
        return self._publish_and_tell(topic, payload, draft, end)

    async def _publish_and_tell(
        self, topic: str, payload: dict[str, Any], draft: Draft, end: hooks.EndOfPublishing
    ) -> Published:
        with _telling(end) as done:
            done.append(await self._publish(topic, payload, draft))
        return done[0]

    async def _publish(self, topic: str, payload: dict[str, Any], draft: Draft) -> Published:
        if slack.is_health_check(payload) and not self._patterns.match(topic):
            return await self._publish_health_check(topic, draft)
        if topic in self._unread:
            self._warn_once(topic)
        began = time.monotonic()
        if self.outbox is not None and (kept := await self.outbox.keep_behind(draft)) is not None:
            return kept
        is_sent = False
        try:
            batcher = self._batcher or await self._coalesce()
            if self.outbox is not None and self.outbox.is_ahead(draft.stream):
                raise TimeoutError  # others were kept while it connected
            is_sent = True
            published = await batcher.publish(draft)
        except _IS_AWAY as error:
            with telling_what_was_added([], 1) as outcomes:
                if is_sent and not nothing_was_done(error):
                    outcomes.uncertain.add(0)
                turn = InTurn(self.outbox, [draft], outcomes)
                (published,) = await self._until_done(topic, turn, FirstTry(began, error))
        if self._maintenance.is_due(draft.stream, published):
            await self._maintenance.tend(draft.stream, published)
        return published

    async def publish_many(
        self, key: str, payloads: Iterable[dict[str, Any]], *, origin: str | None
    ) -> list[Published]:
        """Add events in order, in batches, and return the result of each.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish`.
        """
        topic = self._checked_name(key)
        drafts = [self._draft(topic, payload, None, origin) for payload in codec.each_payload(payloads)]
        if topic in self._unread:
            self._warn_once(topic)
        with _telling(hooks.publishing(topic, [draft.fields for draft in drafts])) as done:
            for step in steps(drafts):
                with telling_what_was_added(done, len(drafts)) as outcomes:
                    await self._publish_step(topic, step, outcomes)
        return done

    async def _publish_step(self, topic: str, step: Sequence[Draft], outcomes: Outcomes) -> None:
        """Add some events, and note what becomes of each."""
        turn = InTurn(self.outbox, step, outcomes)
        await turn.keep_behind()
        if not turn.left:
            return
        added = await self._until_done(topic, turn, least_seconds=ANSWER_SECONDS)
        await self._maintenance.tend_to_all(added)

    async def _publish_health_check(self, topic: str, draft: Draft) -> Published:
        """Add a health check, which is never kept in the outbox: it asks whether Redis takes events now."""
        try:
            (published,) = await self._retry(
                lambda redis: publish_health_check(redis, topic, draft.fields, hard_maxlen=self._hard_maxlen),
                {topic},
            )
        except failures.FAILURES as error:
            raise self._explained(error, topic) from None
        await self._maintenance.tend(topic, published)
        return published

    def _draft(self, topic: str, payload: dict[str, Any], event_id: str | None, origin: str | None) -> Draft:
        """The draft of an event and its stream, with the ids that make a retry harmless."""
        fields = {codec.DATA: codec.encode(payload)}
        if origin is not None and (written := codec.as_origin(origin)):
            fields[codec.ORIGIN] = written
        by_agent = origin == codec.AGENT
        if self._merges_mentions and not by_agent and (mention := mention_in(payload)) is not None:
            fields[codec.MENTION] = mention.written()
        attempt = f"{self._attempts}{next(self._attempt_numbers):x}"
        event_id = event_id_of(payload, given=event_id, fields=self._id_fields)
        if event_id and by_agent:  # an agent must not take the id of a real event
            event_id = of_agent(event_id)
        stream = topic
        if self._is_partitioned:
            conversation = self._partitioner.name(payload)
            fields |= self._partitioner.written(conversation, attempt)
            # Without a conversation it goes to any partition, but a repeated event goes to the same one.
            stream = self._partitioner.stream(topic, conversation or event_id or attempt)
        if event_id and self._dedup_seconds:
            return Draft(stream, fields, f"event:{event_id}", attempt, self._dedup_seconds)
        return Draft(stream, fields, attempt, attempt, OWN_ID_SECONDS)

    async def _coalesce(self) -> Batcher:
        connections = await self._open()
        async with asyncio.timeout(PUBLISH_SECONDS):  # a first connection may take longer than Slack waits
            await connections.check()
        if self._batcher is None:
            self._batcher = Batcher(
                connections.publishing,
                self._views,
                hard_maxlen=self._hard_maxlen,
                answer_seconds=PUBLISH_SECONDS,
            )
        return self._batcher

    async def _until_done(
        self, topic: str, turn: InTurn, failed: FirstTry | None = None, *, least_seconds: float = 0
    ) -> list[Published]:
        """Add events until Redis has answered or the budget is spent, and then keep the others in the outbox.

        Args:
            topic: Where they go.
            turn: The events.
            failed: The first try, if there was one.
            least_seconds: As for `retry`.
        """
        began = failed.began if failed else time.monotonic()
        try:
            if failed and isinstance(failed.error, EmbeddedServerError):
                raise failed.error  # another try to start it would take as long
            return await self._retry(
                lambda redis: publish(
                    redis, turn.drafts, self._views, hard_maxlen=self._hard_maxlen, outcomes=turn.outcomes
                ),
                {draft.stream for draft in turn.drafts},
                failed,
                least_seconds=least_seconds,
                turn=turn,
            )
        except _IS_AWAY as error:
            sentence = error if isinstance(error, AbeRedisError) else self._explained(error, topic)
            if self.outbox is None or concerns_the_event(error):
                raise sentence from None
        published_at = time.time() - (time.monotonic() - began)
        for number, draft in turn.left:
            kept = await self.outbox.keep(draft, sentence, published_at=published_at)
            turn.outcomes.learn(number, kept)
        return turn.outcomes.in_order()

    async def _retry(
        self,
        attempt: Callable[[Redis], Awaitable[list[Published]]],
        streams: set[str],
        failed: FirstTry | None = None,
        *,
        least_seconds: float = 0,
        turn: InTurn | None = None,
    ) -> list[Published]:
        """Try until Redis has answered or the budget is spent; see `retry`."""
        connections = await self._open()

        until = (failed.began if failed else time.monotonic()) + PUBLISH_SECONDS

        async def between() -> None:
            await connections.revive()
            if turn is not None:
                await turn.keep_behind(until)

        async def once() -> list[Published]:
            if turn is not None and not turn.left:
                return turn.outcomes.in_order()
            await connections.check()
            try:
                if turn is not None:
                    turn.check()
                return await attempt(connections.publishing)
            except failures.FAILURES as error:
                if is_full(error):
                    await self._maintenance.make_room(error, streams)
                raise

        return await retry(
            once,
            seconds=PUBLISH_SECONDS,
            least_seconds=least_seconds,
            between=between,
            passes=failures.passes_for_who_was_let_in if connections.was_let_in else failures.passes,
            failed=failed,
        )

    def _explained(self, error: BaseException, topic: str) -> AbeRedisError:
        return failures.explain(error, self._settings, doing=f"publishing to {topic!r}")

    def _checked_name(self, key: str) -> str:
        if type(key) is str and key in self._checked:  # other payloads may not be hashable
            return key
        topic = names.check_stream(key)
        names.check_stream(self._partitioner.longest(topic))
        if len(self._checked) >= _REMEMBERED_NAMES:
            self._checked.clear()
        self._checked.add(topic)
        if not self._patterns.match(topic):
            self._unread.add(topic)
        return topic

    def _warn_once(self, topic: str) -> None:
        self._unread.discard(topic)
        _LOG.warning(
            "Publishing to %r, which no consumer of these settings reads: REDIS_STREAM_PATTERNS is %s.",
            topic,
            self._patterns,
        )


@contextmanager
def _telling(end: hooks.EndOfPublishing | None) -> Iterator[list[Published]]:
    """Report the results in the list to the observers, and how the call ended."""
    done: list[Published] = []
    error: BaseException | None = None
    try:
        yield done
    except BaseException as failure:
        error = failure
        raise
    finally:
        if end is not None:
            end(done, error)

"""Queues a payload from Slack, answers it at once, or refuses it.

Slack gets its answer only when Redis has the event. In every other case Slack sends an event again, and one
that was queued after all is not queued twice. It sends nothing else again, but shows an error to whoever used
the command, the button, the shortcut or the form.
"""

import asyncio
import logging
import traceback
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio

from abe_redis.errors import AbeRedisError, PayloadError
from abe_redis.events import kinds
from abe_redis.events.arrival import Arrival
from abe_redis.events.conversation import Grain, conversation_of
from abe_redis.events.published import Published
from abe_redis.observability.hooks import Fate
from abe_redis.slack.outages import Outages
from abe_redis.slack.queues import Queues
from abe_redis.slack.shapes import Sent
from abe_redis.slack.turns import Turns

_LOG = logging.getLogger(__name__)

ANSWER_SECONDS = 2.8
"""Time until the answer: Slack waits 3 seconds, and publishing tries for 2.5."""

_RETRIES = 3
"""How often Slack sends an event again: at once, after one minute and after five."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to Slack. Socket Mode has no status: an answer other than 200 is not acknowledged there."""

    fate: Fate
    status: int = 200
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"
    reason: str = ""
    """Why it was refused, as metrics and the log have it."""
    headers: tuple[tuple[str, str], ...] = field(default=())


_TOO_SLOW = Answer("refused", 503, "This took too long.", reason="too slow")
_LATE_APP = Answer("refused", 503, "The app did not answer in time.", reason="the app was too slow")


class Publisher(Protocol):
    """Takes events; `RedisMessageQueueBackend` satisfies it."""

    async def publish_event(
        self, key: str, payload: dict[str, Any], *, arrival: Arrival | None = None
    ) -> Published:
        """As `RedisMessageQueueBackend.publish_event`."""


class LiveApp(Protocol):
    """Answers what cannot be queued; `BoltAnswers` satisfies it."""

    def wants(self, sent: Sent) -> bool:
        """Whether it answers what Slack sent."""

    async def answer(self, payload: dict[str, Any]) -> Answer:
        """Its answer."""

    async def finish(self) -> None:
        """Wait for what goes on after an answer."""


class Receiver:
    """Handles each payload from arrival to answer, for HTTP and Socket Mode alike."""

    def __init__(
        self,
        publisher: Publisher,
        queues: Queues,
        live: LiveApp | None = None,
        *,
        conversation: Grain = "channel",
    ) -> None:
        """Configure it.

        Args:
            publisher: Where events go.
            queues: To which streams.
            live: Answers what cannot be queued.
            conversation: What is kept in order.
        """
        self._conversation: Grain = conversation
        self._publisher = publisher
        self.queues = queues
        """To which streams things go."""
        self._live = live
        self._turns = Turns()
        self._outages = Outages()

    async def take(self, sent: Sent, arrival: Arrival, *, until: float) -> Answer:
        """Queue what Slack sent, or answer it if it is not for the queue.

        Args:
            sent: What it sent.
            arrival: How it came.
            until: Time, by `anyio.current_time`, at which Slack must have an answer.
        """
        try:
            with anyio.CancelScope(deadline=until):
                return await self._take(sent, arrival)
            return _LATE_APP if self._is_live(sent) else _TOO_SLOW
        except Exception as error:  # noqa: BLE001 - one event's failure is not the next one's
            return failed(error)

    def _is_live(self, sent: Sent) -> bool:
        return self._live is not None and self._live.wants(sent)

    async def finish(self) -> None:
        """At the end, after the last payload: wait for running listeners of the app."""
        if self._live is not None:
            await self._live.finish()

    async def _take(self, sent: Sent, arrival: Arrival) -> Answer:
        if arrival.path == "http" and sent.challenge is not None:
            return Answer("answered", body=sent.challenge)
        if arrival.path == "http" and sent.is_ssl_check:
            return Answer("answered")
        if self._live is not None and self._is_live(sent):
            return await self._live.answer(sent.payload)
        if sent.asks_for_options:
            _LOG.warning(
                "Slack asks for options (%s), which no queue can give in time. Name the Bolt app that has "
                "them: abe-redis listen --http bot:app.",
                sent.kind.name,
            )
            return Answer("refused", 501, "Nobody here answers this at once.", reason="needs a live answer")
        return await self._queue(sent, arrival)

    async def _queue(self, sent: Sent, arrival: Arrival) -> Answer:
        stream = self.queues.of(sent)
        # Slack sent it, whatever its kind, so its `token` is the app's secret.
        payload = {name: value for name, value in sent.payload.items() if name != "token"}
        try:
            async with self._turns.turn(conversation_of(payload, self._conversation)):
                await self._publisher.publish_event(stream, payload, arrival=arrival)
        except PayloadError as error:
            _LOG.warning("Slack sent what cannot be queued: %s", error)
            return Answer("refused", 400, "This cannot be queued.", reason="bad payload")
        except AbeRedisError as error:
            self._outages.refused(stream, error, comes_again=_comes_again(sent, arrival))
            return Answer("refused", 503, "The queue does not take this.", reason="unavailable")
        except asyncio.CancelledError:  # the time for an answer is over
            self._outages.refused(stream, None, comes_again=_comes_again(sent, arrival))
            raise
        self._outages.taken(stream)
        return Answer("queued", reason=stream)


def _comes_again(sent: Sent, arrival: Arrival) -> bool:
    """Whether Slack sends it again, if it is refused."""
    is_event = sent.form == "event" and kinds.is_slack_envelope(sent.payload)
    return is_event and arrival.retry_num < _RETRIES


def failed(error: Exception) -> Answer:
    """The answer after an unexpected failure, whose message may hold text of a user."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f"{where[0].filename}:{where[0].lineno}" if where else "nowhere"
    _LOG.error("What Slack sent could not be taken: %s at %s.", type(error).__name__, place)
    return Answer("refused", 503, "This failed.", reason=type(error).__name__)

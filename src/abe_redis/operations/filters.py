"""Which events somebody wants to see, take or count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from redis.asyncio import Redis

from abe_redis.events import slack
from abe_redis.operations import positions
from abe_redis.operations.caller_limits import Limits
from abe_redis.operations.dead_letter_kinds import says
from abe_redis.operations.event_views import compact
from abe_redis.operations.slack_ids import wanted_name
from abe_redis.sanitize.untrusted import shown
from abe_redis.schemas import EventView
from abe_redis.streams import ids


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: the events that match every given field."""

    event_type: str | None = None
    channel: str | None = None
    user: str | None = None
    since: str | None = None
    """No event before this id."""
    until: str | None = None
    """No event from this id on."""
    thread: str | None = None
    """The `ts` of a thread's root, alone or behind its channel, as in `C024/1732000000.000100`."""
    contains: str | None = None
    """Words that stand anywhere in the event, or in the reason for which it was buried, in whatever case."""
    limits: Limits = field(default_factory=Limits)
    """Of whose events nobody finds out the words by guessing at them."""

    @classmethod
    def of(
        cls,
        limits: Limits,
        *,
        event_type: str | None = None,
        channel: str | None = None,
        user: str | None = None,
        since: str | None = None,
        until: str | None = None,
        thread: str | None = None,
        contains: str | None = None,
    ) -> Self:
        """A filter as people give it: a channel and a user may be written as Slack writes mentions.

        Raises:
            RequestError: The channel or the user is a broken mention, or an id of the other kind.
        """
        return cls(
            event_type,
            channel and wanted_name(channel, "channel"),
            user and wanted_name(user, "user"),
            since,
            until,
            thread,
            contains,
            limits,
        )

    @classmethod
    async def asked(
        cls, redis: Redis, limits: Limits, *, since: str | None, until: str | None, **words: str | None
    ) -> Self:
        """The same, where times are written as people write them: a time, a time ago, an entry id.

        Args:
            redis: Its clock counts.
            limits: Of the caller.
            since: From when on.
            until: Up to when.
            words: The other fields, as for `of`.

        Raises:
            InvalidArgumentError: A time cannot be read.
            RequestError: As for `of`.
        """
        from_id = None if since is None else await positions.since(redis, since)
        to_id = None if until is None else await positions.since(redis, until)
        return cls.of(limits, since=from_id, until=to_id, **words)

    @property
    def is_given(self) -> bool:
        """Whether it excludes any event."""
        return self.since is not None or self.until is not None or self.is_about_content

    @property
    def is_about_content(self) -> bool:
        """Whether it excludes any event for what is in it."""
        return any((self.event_type, self.channel, self.user, self.thread, self.contains))

    def matches(self, view: EventView) -> bool:
        """Whether an event matches."""
        payload = view.payload or {}
        return (
            self.event_type in {None, view.event_type}
            and (self.channel is None or self.channel in slack.channels_of(payload))
            and (self.user is None or self.user in slack.users_of(payload))
            and (self.since is None or ids.order(view.id) >= ids.order(self.since))
            and (self.until is None or ids.order(view.id) < ids.order(self.until))
            and (self.thread is None or self._is_in_thread(payload))
            and (self.contains is None or self._is_contained(view))
        )

    def _is_in_thread(self, payload: Mapping[str, Any]) -> bool:
        channel, _, root = (self.thread or "").rpartition("/")
        return root == slack.thread_of(payload) and (not channel or channel in slack.channels_of(payload))

    def _is_contained(self, view: EventView) -> bool:
        """Whether the words stand in what would be shown: nobody finds out a secret by guessing at it."""
        words = (self.contains or "").casefold()

        def is_in(payload: Mapping[str, Any]) -> bool:
            said = slack.words_of(payload) or ""
            return words in said.casefold() or words in compact(payload).casefold()

        if not self.limits.may_read(view.payload or {}):
            return False
        if view.buried is not None and says(shown(view.buried.reason), words):
            return True
        return view.payload is not None and is_in(view.payload) and is_in(shown(view.payload))

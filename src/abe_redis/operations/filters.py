"""Which events somebody wants to see, take or count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict, Unpack

from redis.asyncio import Redis

from abe_redis.events import slack
from abe_redis.operations import positions
from abe_redis.operations.caller_limits import Limits
from abe_redis.operations.dead_letter_kinds import says
from abe_redis.operations.event_views import compact
from abe_redis.operations.slack_ids import EXAMPLES, Holder, is_id, wanted_name
from abe_redis.sanitize.untrusted import shown
from abe_redis.schemas import EventView
from abe_redis.streams import ids


class Asked(TypedDict, total=False):
    """Which events somebody asks for, as people write it: those that match every given field."""

    event_type: str | None
    """Their type, as in `app_mention`."""
    channel: str | None
    """Their channel, as in `C0LAN2Q65` or `<#C0LAN2Q65|general>`."""
    user: str | None
    """Their user, as in `U061F7AUR` or `<@U061F7AUR>`."""
    workspace: str | None
    """Their workspace, as in `T061EG9R6`: that of the app, or in a shared channel another that they name."""
    since: str | None
    """Least time of publication, as in `2h` (ago), `2026-01-31T09:00` or an entry id."""
    until: str | None
    """Time before which they were published."""
    thread: str | None
    """Their thread: the `ts` of its root, alone or as `CHANNEL/ts`."""
    contains: str | None
    """Words that they contain, in whatever case."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: the events that match every given field."""

    event_type: str | None = None
    channel: str | None = None
    user: str | None = None
    workspace: str | None = None
    since: str | None = None
    """No event before this id."""
    until: str | None = None
    """Only events before this id."""
    thread: str | None = None
    """The `ts` of a thread's root, alone or behind its channel, as in `C024/1732000000.000100`."""
    contains: str | None = None
    """Words that stand anywhere in the event, or in the reason for which it was buried, in whatever case."""
    limits: Limits = field(default_factory=Limits)
    """Decides whose events `contains` may search, so that no caller finds out hidden words by guessing."""

    @classmethod
    def of(cls, limits: Limits, **asked: Unpack[Asked]) -> Self:
        """The filter that somebody asks for, with entry ids as times.

        Args:
            limits: Of the caller.
            asked: What is asked for.

        Raises:
            RequestError: A channel, a user or a workspace is a broken mention, or an id of another kind.
        """
        if channel := asked.get("channel"):
            asked["channel"] = wanted_name(channel, "channel")
        if user := asked.get("user"):
            asked["user"] = wanted_name(user, "user")
        if workspace := asked.get("workspace"):
            asked["workspace"] = wanted_name(workspace, "workspace")
        return cls(limits=limits, **asked)

    @classmethod
    async def at_times(cls, redis: Redis, limits: Limits, **asked: Unpack[Asked]) -> Self:
        """The filter that somebody asks for, with times as people write them.

        Args:
            redis: Its clock counts.
            limits: Of the caller.
            asked: What is asked for.

        Raises:
            InvalidArgumentError: A time cannot be read, or the end lies before the beginning.
            RequestError: As for `of`.
        """
        since, until = asked.get("since"), asked.get("until")
        begin = None if since is None else await positions.since(redis, since)
        end = None if until is None else await positions.since(redis, until)
        if since is not None and until is not None and begin is not None and end is not None:
            positions.check_not_swapped(begin, end, ("since", since), ("until", until))
        return cls.of(limits, **asked | {"since": begin, "until": end})

    @property
    def is_given(self) -> bool:
        """Whether it excludes any event."""
        return self.since is not None or self.until is not None or self.is_about_content

    @property
    def is_about_content(self) -> bool:
        """Whether it excludes any event because of its content."""
        return any((self.event_type, self.channel, self.user, self.workspace, self.thread, self.contains))

    @property
    def doubt(self) -> str:
        """What to try when nothing matches: whether a word for a user, for one, is an id; else empty."""
        named: dict[Holder, str | None] = {
            "user": self.user,
            "channel": self.channel,
            "workspace": self.workspace,
        }
        return "".join(
            f" {said!r} is no {kind} id of Slack's, such as {EXAMPLES[kind]}: events name {kind}s by those."
            for kind, said in named.items()
            if said is not None and not is_id(said, kind)
        )

    def matches(self, view: EventView) -> bool:
        """Whether an event matches."""
        payload = view.payload or {}
        return (
            self.event_type in {None, view.event_type}
            and (self.channel is None or self.channel in slack.channels_of(payload))
            and (self.user is None or self.user in slack.users_of(payload))
            and (self.workspace is None or self.workspace in slack.workspaces_of(payload))
            and (self.since is None or ids.order(view.id) >= ids.order(self.since))
            and (self.until is None or ids.order(view.id) < ids.order(self.until))
            and (self.thread is None or self._is_in_thread(payload))
            and (self.contains is None or self._is_contained(view))
        )

    def _is_in_thread(self, payload: Mapping[str, Any]) -> bool:
        channel, _, root = (self.thread or "").rpartition("/")
        return root == slack.thread_of(payload) and (not channel or channel in slack.channels_of(payload))

    def _is_contained(self, view: EventView) -> bool:
        """Whether the text that would be shown contains the words, so that no secret is found by guessing."""
        words = (self.contains or "").casefold()

        def is_in(payload: Mapping[str, Any]) -> bool:
            said = slack.words_of(payload) or ""
            return words in said.casefold() or words in compact(payload).casefold()

        if not self.limits.may_read(view.payload or {}):
            return False
        if view.buried is not None and says(shown(view.buried.reason), words):
            return True
        return view.payload is not None and is_in(view.payload) and is_in(shown(view.payload))

"""The conversation of an event, in which its order counts: its channel, thread or user."""

from collections.abc import Mapping
from typing import Any, Literal

from abe_redis.events import kinds
from abe_redis.events.kinds import first
from abe_redis.events.slack import channel_of, thread_of, user_of

_REPLACEMENT = kinds.paths("message.subtype")
_REPLACED = kinds.paths("previous_message.user")

type Grain = Literal["channel", "thread", "user"]
"""What a conversation is: the value of `REDIS_STREAM_CONVERSATION`."""


def conversation_of(payload: Mapping[str, Any], grain: Grain = "channel") -> str | None:
    """The conversation of an event, in which its order counts; None when it names none.

    That is the channel's id alone, as in `C024`: within one shared channel the team varies from envelope to
    envelope, and Slack's channel ids are unique. By thread it is the channel and the root's `ts`, as in
    `C024/1732000000.000100`. What has no channel belongs to its user, and what has no user to its team.
    """
    channel = channel_of(payload)
    if channel and grain == "thread":
        root = thread_of(payload)
        return f"{channel}/{root}" if root else channel
    if channel and grain == "channel":
        return channel
    return _author_of(payload) or channel or _team_of(payload)


def _author_of(payload: Mapping[str, Any]) -> str | None:
    """The user; of a deleted root that has replies its author, though Slackbot wrote what replaces it."""
    event = kinds.event_of(payload)
    if first(event, _REPLACEMENT) == "tombstone" and (author := first(event, _REPLACED)):
        return author
    return user_of(payload)


def _team_of(payload: Mapping[str, Any]) -> str | None:
    return first(payload, kinds.TEAM) or first(kinds.event_of(payload), kinds.TEAM)

"""What Slack sends: what happened, where, by whom, and in which conversation."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from abe_redis.events import kinds
from abe_redis.events.kinds import Path, first, values

type Grain = Literal["channel", "thread", "user"]
"""What a conversation is: the value of `REDIS_STREAM_CONVERSATION`."""


def channels_of(payload: Mapping[str, Any]) -> list[str]:
    """The channels in which it happened, the likeliest first; empty when it happened in none."""
    return _all(kinds.event_of(payload), kinds.kind_of(payload).channel, kinds.CHANNEL)


def users_of(payload: Mapping[str, Any]) -> list[str]:
    """Whose doing it is, the likeliest first; empty when it names nobody."""
    return _all(kinds.event_of(payload), kinds.kind_of(payload).user, kinds.USER)


def owners_of(payload: Mapping[str, Any]) -> list[str]:
    """Whose event it is: who did it, who wrote the message that it is about, or the person it is about.

    Whoever else it names is only mentioned: the author of a thread's root or of a message that gets a
    reaction, an inviter, a person chosen in a menu, the inputs of a workflow's step.
    """
    event, kind = kinds.event_of(payload), kinds.kind_of(payload)
    own = [path for path in kind.user if path[0] != "inputs" or "interactor" in path]
    found = list(values(event, own))
    if not found:
        found = list(values(event, kinds.DOER if kind.user else kinds.USER))
    if kind.name == "presence_change" and isinstance(several := event.get("users"), list):
        return [*found, *(one for one in several if isinstance(one, str))]
    return found if kind.family == "message" else found[:1]


def _all(event: Mapping[str, Any], own: Iterable[Path], general: Iterable[Path]) -> list[str]:
    """What stands in a kind's own fields, or else in the general ones."""
    return list(dict.fromkeys(values(event, own))) or list(dict.fromkeys(values(event, general)))


def channel_of(payload: Mapping[str, Any]) -> str | None:
    """The channel in which it happened; None when it happened in none."""
    return first(kinds.event_of(payload), kinds.kind_of(payload).channel, kinds.CHANNEL)


def user_of(payload: Mapping[str, Any]) -> str | None:
    """Whose doing it is; None when it names nobody."""
    return first(kinds.event_of(payload), kinds.kind_of(payload).user, kinds.USER)


def conversation_of(payload: Mapping[str, Any], grain: Grain = "channel") -> str | None:
    """What an event belongs to, so that its order counts; None when it names nothing of the kind.

    That is the channel's id alone, as in `C024`: within one shared channel the team varies from envelope to
    envelope, and Slack's channel ids are unique. By thread it is the channel and the root's `ts`, as in
    `C024/1732000000.000100`. What has no channel belongs to its user, and what has no user to its team.
    """
    kind, event = kinds.kind_of(payload), kinds.event_of(payload)
    channel = first(event, kind.channel, kinds.CHANNEL)
    if channel and grain == "thread":
        root = first(event, kind.thread, kinds.THREAD if kind is kinds.OTHER else ())
        return f"{channel}/{root}" if root else channel
    if channel and grain == "channel":
        return channel
    user = first(event, kind.user, kinds.USER)
    return user or channel or first(payload, kinds.TEAM) or first(event, kinds.TEAM)


def event_type(payload: Mapping[str, Any]) -> str | None:
    """The type of the Slack event, as in `app_mention`, or `slash_command`; None when it has none."""
    name = kinds.event_of(payload).get("type")
    if isinstance(name, str):
        return name
    kind = kinds.kind_of(payload)
    return kind.name if kind.family == "command" else None


def is_health_check(payload: Mapping[str, Any]) -> bool:
    """Whether this is what Slack MCP Server publishes for every GET of its /health."""
    return payload.get("type") == "health_check"

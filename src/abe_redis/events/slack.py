"""The facts of a payload from Slack: what happened, where, by whom, and with which words."""

from collections.abc import Iterable, Mapping
from typing import Any

from abe_redis.events import kinds
from abe_redis.events.kinds import Kind, Path, first, values

_STARTERS = frozenset({"interactivity", "user_context"})
"""Inputs of a workflow's step that Slack fills with the user who started it."""

_NO_CHANNELS = frozenset({"COMPOSER"})
"""The channel that Slack writes for a link in a message that is not sent yet."""


def channels_of(payload: Mapping[str, Any]) -> list[str]:
    """The channels in which it happened, the likeliest first; empty when it happened in none."""
    found = _all(kinds.event_of(payload), *_channel_fields(kinds.kind_of(payload)))
    return [one for one in found if one not in _NO_CHANNELS]


def users_of(payload: Mapping[str, Any]) -> list[str]:
    """The users who did it, the likeliest first; empty when it names nobody."""
    return _all(kinds.event_of(payload), *_user_fields(kinds.kind_of(payload)))


def owners_of(payload: Mapping[str, Any]) -> list[str]:
    """The owners of an event: who did it, who wrote the message that it is about, or whom it is about.

    Other users that it names are only mentioned: the author of a thread's root or of a message that gets a
    reaction, an inviter, a person chosen in a menu, the inputs of a workflow's step.
    """
    event, kind = kinds.event_of(payload), kinds.kind_of(payload)
    own, general = _user_fields(kind)
    found = _all(event, [path for path in own if path[0] != "inputs" or path[1] in _STARTERS], general)
    if kind.name == "presence_change" and isinstance(several := event.get("users"), list):
        return [*found, *(one for one in several if isinstance(one, str))]
    return found if kind.family == "message" else found[:1]


def _channel_fields(kind: Kind) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The fields of a kind's channel, and those that count when none of them holds one."""
    return kind.channel, kinds.CHANNEL if kind is kinds.OTHER else kinds.WHERE


def _user_fields(kind: Kind) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The fields of a kind's user, and those that count when none of them holds one."""
    return kind.user, kinds.USER if kind is kinds.OTHER else kinds.DOER


def _all(event: Mapping[str, Any], own: Iterable[Path], general: Iterable[Path]) -> list[str]:
    """The values of a kind's own fields, or else of the general ones."""
    return list(dict.fromkeys(values(event, own))) or list(dict.fromkeys(values(event, general)))


def channel_of(payload: Mapping[str, Any]) -> str | None:
    """The channel in which it happened; None when it happened in none."""
    found = first(kinds.event_of(payload), *_channel_fields(kinds.kind_of(payload)))
    return None if found in _NO_CHANNELS else found


def user_of(payload: Mapping[str, Any]) -> str | None:
    """The user who did it; None when it names nobody."""
    return first(kinds.event_of(payload), *_user_fields(kinds.kind_of(payload)))


def workspaces_of(payload: Mapping[str, Any]) -> list[str]:
    """The workspaces that it names as its own: that of the app, and in a shared channel perhaps another."""
    found = [*kinds.values(payload, kinds.WORKSPACE)] or kinds.values(
        kinds.event_of(payload), kinds.WORKSPACE
    )
    return list(dict.fromkeys(found))


def thread_of(payload: Mapping[str, Any]) -> str | None:
    """The `ts` of the root of its thread, or of the message it is about; None when it is about none."""
    kind = kinds.kind_of(payload)
    return first(kinds.event_of(payload), kind.thread, kinds.THREAD if kind is kinds.OTHER else ())


def words_of(payload: Mapping[str, Any]) -> str | None:
    """Its whole text; None when it has none."""
    return first(kinds.event_of(payload), kinds.kind_of(payload).words, kinds.WORDS)


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

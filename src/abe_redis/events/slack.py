"""What Slack sends: which payload is an envelope; what happened, where, by whom, in which conversation."""

from collections.abc import Mapping
from typing import Any


def is_slack_envelope(payload: Mapping[str, Any]) -> bool:
    """Whether this is what Slack's Events API posts: the outer object around an event."""
    return payload.get("type") == "event_callback"


def slack_event_id(payload: Mapping[str, Any]) -> str | None:
    """The id that Slack repeats when it sends an envelope again, if this is an envelope."""
    event_id = payload.get("event_id")
    return event_id if is_slack_envelope(payload) and isinstance(event_id, str) and event_id else None


def is_health_check(payload: Mapping[str, Any]) -> bool:
    """Whether this is what Slack MCP Server publishes for every GET of its /health."""
    return payload.get("type") == "health_check"


def event_of(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Slack event inside an envelope, or the payload itself."""
    event = payload.get("event")
    return event if is_slack_envelope(payload) and isinstance(event, dict) else payload


def channel_of(payload: Mapping[str, Any]) -> str | None:
    """The channel in which the Slack event happened; None when it was in none."""
    event = event_of(payload)
    found = event.get("channel") or event.get("channel_id") or event.get("item")
    if isinstance(found, Mapping):  # `channel_created` has all of a channel; a reaction has an item
        found = found.get("id") or found.get("channel")
    return found if isinstance(found, str) and found else None


def user_of(payload: Mapping[str, Any]) -> str | None:
    """Whose Slack event it is; None when it names nobody."""
    found = event_of(payload).get("user")
    if isinstance(found, Mapping):  # `team_join` has all of a user
        found = found.get("id")
    return found if isinstance(found, str) and found else None


def event_type(payload: Mapping[str, Any]) -> str | None:
    """The type of the Slack event, as in `app_mention`; None when the payload names none."""
    kind = event_of(payload).get("type")
    return kind if isinstance(kind, str) else None


def conversation_of(payload: Mapping[str, Any]) -> str | None:
    """The team and the channel of a Slack event, as in `T024/C01`; None when it has neither.

    What is finer, as a thread, would not do: reactions and edits do not say which they belong to. An event
    without a channel, as `team_join`, belongs to its team. The team is the envelope's, since a message
    names another one when it comes from a shared channel, and its edit names none.
    """
    team = payload.get("team_id")
    team = team if isinstance(team, str) else ""
    channel = channel_of(payload) or ""
    return f"{team}/{channel}" if team or channel else None

"""The Slack event as handlers get it by default: without its envelope, but with the facts they need of it."""

from collections.abc import Mapping
from typing import Any, overload

from abe_redis.events import kinds
from abe_redis.events.event import Event

_OF_THE_ENVELOPE = (
    "event_id",
    "team_id",
    "api_app_id",
    "authorizations",
    "enterprise_id",
    "context_team_id",
    "event_context",
    "is_ext_shared_channel",
)
"""A bot finds its token by `authorizations[0]`: of a shared channel, `team_id` may be somebody else's."""

_PADDED = ("user", "text", "ts", "channel", "item", "reaction", "event_ts", "thread_ts")
"""Fields that Slack MCP Server's model adds as None to events without them."""


@overload
def slack_event(event: Event) -> Event: ...


@overload
def slack_event(event: dict[str, Any]) -> dict[str, Any]: ...


def slack_event(event: dict[str, Any]) -> dict[str, Any]:
    """The Slack event inside an envelope, with the envelope's facts about the installation.

    This is what `DecoratorHandler` of Slack MCP Server dispatches on: with the envelope itself, which is what
    its webhook publishes, `@handler.app_mention` never fires. What that webhook padded with None is left out,
    so that `event.get("thread_ts", event["ts"])` means what it says. A merged mention has the type
    `app_mention`, whichever of its two events is there, and says so in `merged_types`.

    The result knows the stream, the group, the id, the deliveries and the origin as the event does, and
    `nack` and `bury` are the event's own. A payload without an envelope is as it was.
    """
    inner = _unpadded(event)
    if kinds.is_slack_envelope(event):
        for name in _OF_THE_ENVELOPE:
            if name in event:
                inner.setdefault(name, event[name])
    if not isinstance(event, Event):
        return inner
    if event.merged_types:
        inner |= {"type": event.merged_types[0], "merged_types": list(event.merged_types)}
    return event.with_payload(inner, holder=_Original(event))


def slack_envelope(event: Mapping[str, Any]) -> dict[str, Any]:
    """The payload as Slack posted it, for what works on envelopes, such as Bolt.

    What Slack MCP Server padded with None is left out, and a merged mention is an `app_mention`. An event
    that was published without an envelope gets one. Each has a `team_id`, without which an older Bolt fails.
    """
    if not kinds.is_slack_envelope(event) and kinds.kind_of(event).family not in {"event", "message"}:
        return dict(event)
    outer = dict(event) if kinds.is_slack_envelope(event) else {"type": "event_callback"}
    inner = _unpadded(event)
    if isinstance(event, Event) and event.merged_types:
        inner["type"] = event.merged_types[0]
    team = kinds.first(inner, kinds.paths("team_id team"))
    return {"team_id": team} | outer | {"event": inner}


def _unpadded(event: Mapping[str, Any]) -> dict[str, Any]:
    """The inner event, without what was padded if it has an envelope; else the payload."""
    inner = dict(kinds.event_of(event))
    if kinds.is_slack_envelope(event):
        for name in _PADDED:
            if name in inner and inner[name] is None:
                del inner[name]
    return inner


class _Original:
    """Lets go of the event that a view shows."""

    def __init__(self, event: Event) -> None:
        self._event = event

    async def nack(
        self, event: Mapping[str, Any], *, delay: float, reason: str | None, counted: bool
    ) -> None:
        del event  # the view
        await self._event.nack(delay=delay, reason=reason, counted=counted)

    async def bury(self, event: Mapping[str, Any], *, reason: str) -> None:
        del event
        await self._event.bury(reason=reason)

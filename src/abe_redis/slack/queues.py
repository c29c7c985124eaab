"""Which stream each kind of payload goes to, and what cannot be queued at all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from abe_redis.errors import SettingsError
from abe_redis.events import kinds
from abe_redis.settings import Settings
from abe_redis.slack.shapes import LIVE, Sent
from abe_redis.streams import names
from abe_redis.streams.patterns import check_one_stream

ASKING = LIVE | {"view_submission", "dialog_submission"}
"""Kinds to which a Bolt app may have an answer, as errors beside the inputs of a form."""

_SHORTCUTS = frozenset({"shortcut", "message_action", "workflow_step_edit"})
_VIEWS = frozenset({"view_submission", "view_closed", "dialog_submission", "dialog_cancellation"})


@dataclass(frozen=True, slots=True)
class Queues:
    """The stream of each family of payloads."""

    events: str
    """For the Events API, and for everything that no other stream takes."""
    actions: str = "slack:actions"
    """Buttons, menus and inputs, in messages, in views and in attachments; interactivity of unknown types."""
    commands: str = "slack:commands"
    shortcuts: str = "slack:shortcuts"
    """Shortcuts, global and on messages."""
    views: str = "slack:views"
    """Modals and dialogs that were submitted or closed."""

    def __str__(self) -> str:
        """As in `'slack_events' (events), 'slack:actions' (actions)`; one stream for all by its name."""
        named = {one.name: str(getattr(self, one.name)) for one in fields(self)}
        if len(set(named.values())) == 1:
            return repr(self.events)
        return ", ".join(f"{stream!r} ({family})" for family, stream in named.items())

    @classmethod
    def chosen(cls, settings: Settings, choices: Iterable[str] = ()) -> Self:
        """The defaults, and what was chosen: for a family as in `actions=slack:buttons`, for all by a name.

        Raises:
            SettingsError: A choice names no family, or a stream that cannot be one.
            InvalidNameError: A stream has a name that is not allowed.
        """
        families = [one.name for one in fields(cls)]
        queues = cls(events=names.check_stream(settings.slack_events_topic))
        for choice in choices:
            family, is_one, stream = choice.rpartition("=")
            if is_one and family not in families:
                raise SettingsError(
                    f"--queue {choice!r} names no kind of event: write one of {', '.join(families)} before "
                    "the =, as in actions=slack:actions, or a stream alone for everything."
                )
            if stream != settings.slack_events_topic:
                check_one_stream(stream, "--queue")
            queues = replace(queues, **dict.fromkeys([family] if is_one else families, stream))
        return queues

    def of(self, sent: Sent) -> str:
        """The stream for what Slack sent."""
        kind = sent.kind
        if sent.form == "command" or kind.family == "command":
            return self.commands
        if kind.name in _SHORTCUTS:
            return self.shortcuts
        if kind.name in _VIEWS:
            return self.views
        is_interactive = sent.form == "interactive" or kind.family == "interactive"
        is_unknown_action = kind is kinds.OTHER and (
            "trigger_id" in sent.payload or "response_url" in sent.payload
        )
        return self.actions if is_interactive or is_unknown_action else self.events


def names_in(payload: Mapping[str, Any]) -> set[str]:
    """The names under which an app's listener may be registered: a callback id, action ids, a command."""
    view = payload.get("view")
    found = [payload.get("callback_id"), payload.get("action_id"), payload.get("command")]
    found.append(view.get("callback_id") if isinstance(view, Mapping) else None)
    actions = payload.get("actions")
    found += [  # of several, Bolt looks at the first
        one.get("action_id")
        for one in (actions[:1] if isinstance(actions, list) else ())
        if isinstance(one, Mapping)
    ]
    return {one for one in found if isinstance(one, str)}

"""A payload of Slack and its form, one of three; the form says more than the payload alone.

A field where Slack sends none has no meaning: a command with a field `type` is a command, and an event with a
field `ssl_check` is an event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from abe_redis.events import kinds
from abe_redis.events.kinds import Kind

type Form = Literal["event", "interactive", "command"]
"""As JSON; as JSON in a form or in an interactive message of Socket Mode; as the fields of a form."""

_INTERACTIVE = ("trigger_id", "response_url", "actions", "callback_id", "action_ts", "view")
"""Fields of interactivity without a type, as it came until 2017; such a payload has one of them."""


LIVE = frozenset({"block_suggestion", "dialog_suggestion"})
"""Kinds for which Slack needs a content as the answer; a queue has none within three seconds."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A payload and the form in which it came."""

    payload: dict[str, Any]
    form: Form

    @property
    def kind(self) -> Kind:
        """Its kind in that form."""
        if self.form == "command":
            return kinds.kind_of({name: value for name, value in self.payload.items() if name != "type"})
        kind = kinds.kind_of(self.payload)
        if self.form == "interactive":
            return kind if kind.family == "interactive" else kinds.OTHER
        return kind

    @property
    def challenge(self) -> str | None:
        """The text that Slack expects in the answer when it verifies the address."""
        challenge = self.payload.get("challenge")
        if self.form == "event" and self.kind.name == "url_verification" and isinstance(challenge, str):
            return challenge if challenge.isprintable() else None
        return None

    @property
    def is_ssl_check(self) -> bool:
        """Whether Slack looks at the certificate of a command's address, and uses no command."""
        is_check = self.form == "command" and self.payload.get("ssl_check") == "1"
        return is_check and self.kind.family != "command"

    @property
    def asks_for_options(self) -> bool:
        """Whether a menu, also one of an attachment, waits for options, which no queue can give in time."""
        kind = self.kind.name
        return kind in LIVE or (kind == "interactive_message" and "actions" not in self.payload)

    def flaw(self) -> str | None:
        """Why this cannot be from Slack over HTTP, without any of its content; None if it can.

        Slack adds types: an unknown one is no flaw.
        """
        name = self.payload.get("type")
        has_type = isinstance(name, str) and bool(name)
        match self.form:
            case "command":
                return None if self.kind.family == "command" or self.is_ssl_check else _NO_COMMAND
            case "interactive":
                looks = has_type or any(field in self.payload for field in _INTERACTIVE)
                return None if looks else "the field payload has no type"
        if kinds.is_slack_envelope(self.payload):
            event = self.payload.get("event")
            return None if isinstance(event, Mapping) else "the envelope has no event"
        if name == "url_verification":
            return None if self.challenge is not None else "it has no challenge"
        return None if has_type or self.kind.family == "command" else "the object has no type"


_NO_COMMAND = "the form has no field payload, and is no slash command"

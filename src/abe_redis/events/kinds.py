"""The kinds of payload, and the fields of their facts; `slack_event_types` is the table.

A fact is looked for in the fields of the payload's kind, then in those that mean the same in every payload.
Only a kind that stands in no row, which Slack adds later or a host has of its own, is looked up in all the
general fields below: the `message.user` of a known kind wrote a message, and did not press its button.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from abe_redis.events import slack_event_types

type Path = tuple[str | int, ...]
"""The way to a field: names in objects, positions in lists."""

type Family = Literal["event", "message", "interactive", "command", "notice", "other"]
"""How a kind comes: in an envelope, as a message in one, as a form, or as Slack's word to the app itself."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table. Of several fields, the first that holds something counts."""

    name: str
    """Slack's `type`, or a message's `subtype`; our own word for what has neither."""
    about: str
    """The sentence that says what happened."""
    family: Family
    channel: tuple[Path, ...] = ()
    """Where it happened."""
    user: tuple[Path, ...] = ()
    """Who did it."""
    thread: tuple[Path, ...] = ()
    """The root of its thread, else the message it is about."""
    words: tuple[Path, ...] = ()
    """Its text."""
    line: str = "{name}{in}{by}{words}"
    """Its summary; `slack_event_types` says what may stand in it."""


# The general fields -------------------------------------------------------------------------------------


def paths(text: str) -> tuple[Path, ...]:
    """Fields as the table has them, as in `item.channel channel_id`."""
    return tuple(
        tuple(int(part) if part.isdecimal() else part for part in path.split(".")) for path in text.split()
    )


def written(path: Path) -> str:
    """A field as the table has it."""
    return ".".join(map(str, path))


CHANNEL = paths("channel channel_id item.channel assistant_thread.channel_id container.channel_id")
USER = paths("user user_id message.user previous_message.user assistant_thread.user_id bot_id")
WHERE = paths("channel channel_id")
"""Fields that say where it happened, whatever the kind."""
DOER = paths("user user_id")
"""Fields that say who did it, whatever the kind."""
THREAD = paths(
    "thread_ts message.thread_ts message.ts container.thread_ts container.message_ts item.ts message_ts "
    "assistant_thread.thread_ts ts"
)
WORDS = paths("text")
TEAM = paths("team_id team enterprise_id enterprise user.team_id authorizations.0.team_id")
"""Of the whole payload, not of the event inside."""
WORKSPACE = paths("team_id context_team_id team user.team_id authorizations.0.team_id")
"""Of the whole payload: in a shared channel, `team_id` may be another than the one with the app."""


def _table(family: Family, rows: str, line: str) -> Iterator[Kind]:
    for row in rows.strip().splitlines():
        name, about, *rest = (cell.strip() for cell in row.split("|"))
        channel, user, thread, words, own_line = (*rest, *[""] * (5 - len(rest)))
        yield Kind(
            name, about, family, paths(channel), paths(user), paths(thread), paths(words), own_line or line
        )


_DEED = "{name}{by}{in}{words}"
KINDS: tuple[Kind, ...] = (
    *_table("event", slack_event_types.EVENTS, "{name}{in}{by}{words}"),
    *_table("message", slack_event_types.MESSAGES, _DEED),
    *_table("interactive", slack_event_types.INTERACTIVE, "{name} {.callback_id}{by}{in}{words}"),
    *_table("command", slack_event_types.COMMANDS, _DEED),
    *_table("notice", slack_event_types.NOTICES, "{name}"),
)
OTHER = Kind("other", "anything else, such as what you publish yourself", "other")

_BY_TYPE = {kind.name: kind for kind in KINDS if kind.family in {"event", "interactive", "notice"}}
_BY_SUBTYPE = {kind.name: kind for kind in KINDS if kind.family == "message"}
_MESSAGE = _BY_SUBTYPE["message"]
_COMMAND, _OUTGOING = (kind for kind in KINDS if kind.family == "command")
_FORM_MARKS = (
    *("team_id", "team_domain", "enterprise_id", "channel_id", "channel_name", "user_id", "user_name"),
    *("response_url", "trigger_id", "api_app_id", "is_enterprise_install"),
)
"""Fields of a command, one of which comes with each."""
_MESSAGE_MARKS = (
    *("channel", "channel_type", "user", "bot_id", "team", "ts", "event_ts"),
    *("subtype", "client_msg_id", "blocks"),
)
"""Fields that tell a message of Slack's from any other payload whose type is `message`."""


def is_slack_envelope(payload: Mapping[str, Any]) -> bool:
    """Whether this is an envelope: the outer object around an event, as Slack's Events API posts it."""
    return payload.get("type") == "event_callback"


def event_of(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Slack event inside an envelope, or the payload itself."""
    event = payload.get("event")
    return event if is_slack_envelope(payload) and isinstance(event, dict) else payload


def kind_of(payload: Mapping[str, Any]) -> Kind:
    """The payload's row in the table; an event is known with and without its envelope."""
    event = event_of(payload)
    name = event.get("type")
    if name == "message":
        subtype = event.get("subtype")
        return _message(subtype) if isinstance(subtype, str) and subtype else _MESSAGE
    found = _BY_TYPE.get(name) if isinstance(name, str) else None
    if found is not None and (found.family == "event" or event is payload):
        return found
    if isinstance(payload.get("command"), str) and payload["command"].startswith("/"):
        return _COMMAND if _has_any(payload, _FORM_MARKS) else OTHER
    if name is None and _is_outgoing_webhook(payload):
        return _OUTGOING
    return OTHER


def _is_outgoing_webhook(payload: Mapping[str, Any]) -> bool:
    if all(mark in payload for mark in ("team_id", "channel_id", "user_id")):
        return _has_any(payload, ("service_id", "trigger_word", "timestamp"))
    return "trigger_word" in payload and _has_any(payload, _FORM_MARKS)


def _has_any(payload: Mapping[str, Any], marks: Iterable[str]) -> bool:
    return any(mark in payload for mark in marks)


@lru_cache(maxsize=256)
def _message(subtype: str) -> Kind:
    return _BY_SUBTYPE.get(subtype) or replace(_MESSAGE, name=subtype, line=_DEED)


def is_of_slack(payload: Mapping[str, Any]) -> bool:
    """Whether a payload looks like Slack's, so that its top-level `token` is the app's secret.

    That is each kind of the table, also an event without its envelope; whatever names the app it is for
    (`api_app_id`); and what has both a team and a field that only Slack sends. A `message` is a word that
    everybody uses: it counts with one of the fields of Slack's messages.
    """
    if is_slack_envelope(payload) or isinstance(payload.get("api_app_id"), str) or "ssl_check" in payload:
        return True
    kind = kind_of(payload)
    if kind.family == "message":
        return _has_any(payload, _MESSAGE_MARKS)
    if kind is not OTHER:
        return True
    has_team = isinstance(payload.get("team_id"), str) or isinstance(payload.get("team"), Mapping)
    return has_team and _has_any(payload, ("trigger_id", "response_url", "action_ts", "event_ts"))


def values(value: object, paths: Iterable[Path]) -> Iterator[str]:
    """The values of these fields, in order; for an object, its `id`. Empty strings count as absent."""
    for path in paths:
        found = at(value, path)
        if isinstance(found, Mapping):
            found = found.get("id")
        if isinstance(found, str) and found:
            yield found


def at(value: object, path: Path) -> Any:  # noqa: ANN401 - any JSON
    """The value of a field; None without one."""
    for part in path:
        if isinstance(part, str):
            value = value.get(part) if isinstance(value, Mapping) else None
        else:
            value = value[part] if isinstance(value, list) and part < len(value) else None
    return value


def first(value: object, *groups: Iterable[Path]) -> str | None:
    """The first of `values`, of the first group of fields that has any."""
    for group in groups:
        for found in values(value, group):
            return found
    return None

"""The users and channels whose words an agent may read.

An agent that may change things can be kept from reading what strangers write. It then learns who wrote,
where, and how long the text is, but no word of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from abe_redis.events import kinds, slack

_FACTS = frozenset(
    [
        "type",
        "subtype",
        "id",
        "ts",
        "event_ts",
        "thread_ts",
        "message_ts",
        "latest_reply",
        "client_msg_id",
        "hash",
        "user",
        "user_id",
        "users",
        "user_ids",
        "reply_users",
        "parent_user_id",
        "item_user",
        "author_id",
        "creator",
        "created_by",
        "inviter",
        "bot_id",
        "app_id",
        "api_app_id",
        "channel",
        "channel_id",
        "channels",
        "team",
        "team_id",
        "user_team",
        "source_team",
        "enterprise_id",
        "context_team_id",
        "context_enterprise_id",
        "edited",
        "item",
    ]
)
"""Fields that hold no words, but an id, a time, or an object that is looked at by itself. Every other one may
hold words."""
_AUTHORS = ("user", "user_id", "author_id", "creator", "created_by")
_PLACES = ("channel", "channel_id")
_QUOTES = frozenset(
    ["author_id", "author_name", "is_share", "is_msg_unfurl", "from_url", "original_url", "app_unfurl_url"]
)
"""Fields that mark an attachment as a quoted message or a page, not a part of the message itself."""
_FILES = frozenset(["mimetype", "filetype", "url_private", "permalink", "file_access"])
"""Fields that mark a file, which has an author of its own: one without is somebody's who is not known."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Users and channels whose words are shown; if neither is given, everybody's are."""

    users: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    @property
    def withholds(self) -> bool:
        """Whether there are events of which no words are shown."""
        return bool(self.users or self.channels)

    def withheld(self, payload: Mapping[str, Any]) -> str | None:
        """The part of an event that is withheld, and why; None if all of it may be shown.

        A trusted user must have written it, and every message and file of others that it shows. Other users
        that an event names do not count.
        """
        if not self.withholds or self._is_trusted(payload):
            return None
        length = len(slack.words_of(payload) or "")
        return f"{length:,} characters by an author who is not trusted here are withheld"

    def _is_trusted(self, payload: Mapping[str, Any]) -> bool:
        owners, channels = slack.owners_of(payload), slack.channels_of(payload)
        is_there = bool(channels) and self.channels.issuperset(channels)
        if not is_there and not (owners and self.users.issuperset(owners)):
            return False
        return all(self._may_quote(one, is_there=is_there) for one in _inner(payload))

    def _may_quote(self, part: Mapping[str, Any], *, is_there: bool) -> bool:
        """Whether a part of an event has no untrusted author; one without is the sender's, but for files."""
        author, place = _id(part, _AUTHORS), _id(part, _PLACES)
        is_quote, is_file = not _QUOTES.isdisjoint(part), not _FILES.isdisjoint(part)
        if part.get("type") == "message":
            author = author or _id(part, ("bot_id",))
        if not _may_hold_words(part) or not (author or is_quote or is_file):
            return True
        if author in self.users or place in self.channels:
            return True
        return is_there and place is None and not is_quote


def _inner(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects within an event, at any depth; without the event itself, and its envelope."""
    event, waiting = kinds.event_of(payload), [*payload.values()]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if one is not event:
                yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _may_hold_words(part: Mapping[str, Any]) -> bool:
    return any(
        field not in _FACTS and isinstance(value, str | list | Mapping) and value
        for field, value in part.items()
    )


def _id(part: Mapping[str, Any], fields: tuple[str, ...]) -> str | None:
    for field in fields:
        found = part.get(field)
        found = found.get("id") if isinstance(found, Mapping) else found
        if isinstance(found, str) and found:
            return found
    return None


# What is known of a withheld event ----------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_SHAPES = {
    "user": re.compile(r"[A-Z][A-Z0-9]{1,30}"),
    "channel": re.compile(r"[A-Z][A-Z0-9]{1,30}"),
    "thread": re.compile(r"(?:[A-Z][A-Z0-9]{1,30}/)?[0-9]{1,12}\.[0-9]{1,9}|[A-Z][A-Z0-9]{1,30}"),
}


def fact(name: str, value: str | None) -> str | None:
    """A fact about a withheld event; None if it could hold words instead."""
    return value if value is not None and _SHAPES.get(name, _NAME).fullmatch(value) else None

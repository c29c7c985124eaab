"""The users and channels whose words an agent may read.

An agent that may change things can be kept from reading what strangers write. It then learns who wrote,
where, and how long the text is, but no word of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from abe_redis.events import kinds, slack

_WORDS = frozenset(
    [
        "text",
        "blocks",
        "attachments",
        "files",
        "title",
        "name",
        "value",
        "fallback",
        "preview",
        "pretext",
        "comment",
        "initial_comment",
        "description",
        "content",
        "message",
        "username",
        "topic",
        "purpose",
    ]
)
"""Fields that hold words."""
_AUTHORS = ("user", "user_id", "author_id", "creator", "created_by")
_PLACES = ("channel", "channel_id")
_QUOTES = frozenset(
    ["author_id", "author_name", "is_share", "is_msg_unfurl", "from_url", "original_url", "app_unfurl_url"]
)
"""Fields that mark an attachment as a quoted message or a page, not a part of the message itself."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Users and channels whose words are shown; if neither is given, everybody's are."""

    users: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def withheld(self, payload: Mapping[str, Any]) -> str | None:
        """The part of an event that is withheld, and why; None if all of it may be shown.

        A trusted user must have written it, and every message and file of others that it shows. Other users
        that an event names do not count.
        """
        if not (self.users or self.channels) or self._is_trusted(payload):
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
        """Whether a part of an event has no untrusted author; one without an author is the sender's."""
        author, place = _id(part, _AUTHORS), _id(part, _PLACES)
        is_quote = not _QUOTES.isdisjoint(part)
        if part.get("type") == "message":
            author = author or _id(part, ("bot_id",))
        if _WORDS.isdisjoint(part) or not (author or is_quote):
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

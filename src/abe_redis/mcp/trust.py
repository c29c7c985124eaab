"""Whose words an agent is shown.

An agent with powers may be kept from reading what strangers write: then it learns that somebody wrote
something, where, and how long it is, and no word of it.
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
"""Fields in which words stand."""
_AUTHORS = ("user", "user_id", "author_id", "creator", "created_by")
_PLACES = ("channel", "channel_id")
_QUOTES = frozenset(
    ["author_id", "author_name", "is_share", "is_msg_unfurl", "from_url", "original_url", "app_unfurl_url"]
)
"""Fields that tell an attachment that shows somebody's message, or a page, from one of the message's own."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Users and channels whose words are shown; if neither is given, everybody's are."""

    users: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def withheld(self, payload: Mapping[str, Any]) -> str | None:
        """What is not shown of an event, and why; None when all of it may be shown.

        Who is trusted must have written it, and all that it shows of others' messages and files: whoever
        else an event names did not.
        """
        if not (self.users or self.channels) or self._is_trusted(payload):
            return None
        length = len(slack.words_of(payload) or "")
        return f"{length:,} characters of somebody who is not trusted here are withheld"

    def _is_trusted(self, payload: Mapping[str, Any]) -> bool:
        owners, channels = slack.owners_of(payload), slack.channels_of(payload)
        is_there = bool(channels) and self.channels.issuperset(channels)
        if not is_there and not (owners and self.users.issuperset(owners)):
            return False
        return all(self._may_quote(one, is_there=is_there) for one in _inner(payload))

    def _may_quote(self, part: Mapping[str, Any], *, is_there: bool) -> bool:
        """Whether a part of an event is no stranger's; what names no author is its sender's."""
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
    """A fact about a withheld event; None where words could stand in its place."""
    return value if value is not None and _SHAPES.get(name, _NAME).fullmatch(value) else None

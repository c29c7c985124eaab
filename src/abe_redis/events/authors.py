"""The people whose messages and files an event carries within it, whoever caused the event.

A shortcut, a pin or a star has the message it is used on; a broadcast has the root of its thread; an
attachment quotes a message; and whoever shares a file sends the file's data along.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from abe_redis.events import kinds

_AUTHOR = kinds.paths("author_id creator user user_id")
"""Fields of an author. A reminder has a creator, who wrote it, and a user, whom it is for."""

_WRITTEN = (
    *("text", "blocks", "attachments", "files", "fallback", "comment", "value"),  # messages, comments, topics
    *("title", "preview", "plain_text", "mimetype", "url_private"),  # files
)
"""Fields that an object has if somebody wrote or made it: one of them. An object that only names has none."""

_OF_APPS = frozenset({"inputs", "event_payload"})
"""Objects with fields of an app's or a workflow's own, in which a user is nobody's author."""


def authors_of(payload: Mapping[str, Any]) -> set[str]:
    """The authors of the messages, files, comments and topics within an event.

    Not the author of the event itself, nor who is only named, as in a text, a reaction or an invitation.
    """
    return {
        author
        for part in _parts(kinds.event_of(payload))
        if any(part.get(name) for name in _WRITTEN) and (author := kinds.first(part, _AUTHOR)) is not None
    }


def _parts(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects within an event, at any depth; without recursion, for it may be deep."""
    left: list[Any] = [value for name, value in event.items() if name not in _OF_APPS]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            yield one
            left += [value for name, value in one.items() if name not in _OF_APPS]
        elif isinstance(one, list):
            left += one

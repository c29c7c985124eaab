"""An event on one line that a person recognises: what happened, where, who did it, and the text."""

import re
from collections.abc import Mapping
from typing import Any

from abe_redis.events import kinds, slack
from abe_redis.sanitize.secrets import cut

_MOST = 80
"""Characters of each part."""
_JOINERS = "\u200c\u200d"
"""Characters that join two others, and that a cut must not leave at the end."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = "{words}"
"""Always the last of a line."""
_PLACE = re.compile(r"\{([^}]+)\}")


def summarise(payload: Mapping[str, Any], *, words: bool = True) -> str:
    """The line, as in `app_mention in C024 by U061: 'can you look at…'` or `edit by U061 in C024: 'done'`.

    Args:
        payload: The event.
        words: Whether the line includes the text.
    """
    kind, event = kinds.kind_of(payload), kinds.event_of(payload)
    name = kind.name if kind is not kinds.OTHER else slack.event_type(payload) or "event without a type"

    def said(place: re.Match[str]) -> str:
        match place[1]:
            case "name":
                return _short(name)
            case "in":
                return _led_by(" in ", slack.channel_of(payload))
            case "by":
                return _led_by(" by ", slack.user_of(payload))
            case path:
                found = _short(kinds.first(event, kinds.paths(path[1:])) or "")
                return f" :{found}:" if found and path[0] == ":" else found

    facts, has_words = kind.line.removesuffix(_WORDS), kind.line.endswith(_WORDS)
    line = _PLACE.sub(said, facts)
    if line.startswith(" "):  # the first part of the line is missing
        line = name + line
    line = " ".join(line.split())
    if words and has_words:
        line += _quoted(kinds.first(event, kind.words, kinds.WORDS))
    return _SURROGATE.sub(lambda match: f"[U+{ord(match[0]):04X}]", line)  # this is not text


def _led_by(word: str, value: str | None) -> str:
    return f"{word}{_short(value)}" if value else ""


def _short(text: str) -> str:
    """A name or an id, on one line, and shortened."""
    text = " ".join(text.split())
    return text if len(text) <= _MOST else f"{cut(text, _MOST).rstrip(_JOINERS)}…"


def _quoted(text: str | None) -> str:
    text = " ".join((text or "").split())
    return f": '{cut(text, _MOST).rstrip(_JOINERS)}'{'…' * (len(text) > _MOST)}" if text else ""

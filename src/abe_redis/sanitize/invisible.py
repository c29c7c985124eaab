"""Characters that are invisible, or that change the direction of writing."""

import re
import unicodedata
from collections.abc import Sequence

# Invisible though Unicode counts them as letters, marks or symbols: fillers, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LINES = {"\n", "\r", "\t"}


def is_seen(char: str) -> bool:
    """Whether a character can be seen; line breaks and tabs can."""
    # Categories: control, format (zero width, bidirectional, tags), surrogate, private, unassigned, lines.
    return char in _LINES or not (
        unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} or _UNSEEN.match(char)
    )


def all_seen(text: str) -> bool:
    """Whether a cheap check shows that every character of the text is visible."""
    return text.isprintable() and (text.isascii() or not _UNSEEN.search(text))


# As in JSON within a text, and in what Python quotes.
_ESCAPE = re.compile(
    r"(?<!\\)\\{1,32}+(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U000([0-9a-f]{5})|U0010([0-9a-f]{4}))", re.IGNORECASE
)


def seen_of(text: str) -> tuple[str, Sequence[int]]:
    r"""The visible part of a text, and the place of each of its characters in the text.

    Invisible characters are left out, also if they are written as an escape such as `\u200b`.
    """
    escapes = _ESCAPE.finditer(text) if "\\" in text else ()
    gone = [match.span() for match in escapes if not _is_seen_as(match)]
    if not gone and all_seen(text):
        return text, range(len(text))
    places = list[int]()
    at = 0
    for start, end in [*gone, (len(text), len(text))]:
        places += [place for place in range(at, start) if is_seen(text[place])]
        at = end
    return "".join([text[place] for place in places]), places


def _is_seen_as(match: re.Match[str]) -> bool:
    code = int(next(filter(None, match.groups())), 16)
    return is_seen(chr(code + 0x100000 if match[4] else code))

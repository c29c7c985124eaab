r"""Copies of a text with its escapes undone, and the place of each character in the original text.

Slack writes `&` as `&amp;`, JSON may write it as `\u0026`, a URL as `%26`, and people's keyboards write curly
quotes for straight ones. A search of the original text misses these. So the search also reads copies: each
has one more layer of escapes undone, and maps its findings back to the text.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from abe_redis.sanitize.invisible import is_seen, seen_of

_MOST_LAYERS = 5
"""Layers of escapes that are undone: JSON in JSON in a URL in Slack's text has four."""

_ESCAPE = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|equals|colon|num|percnt|sol|lowbar|hyphen|dash|period|commat);"
    r"|&\#(?:\d{1,7}|x[0-9a-f]{1,6});"
    # JSON within JSON escapes the backslash itself; all of them are undone at once.
    r"|\\{1,32}+(?:(?-i:U)[0-9a-f]{8}|u\{[0-9a-f]{1,6}\}|u[0-9a-f]{4}|x[0-9a-f]{2})"
    r"|\\[\\\"'/bfnrt]"
    r"|%[0-7][0-9a-f]"
    r"|%[c-f][0-9a-f](?:%[89ab][0-9a-f]){1,3}",
    re.IGNORECASE,
)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_COULD_ESCAPE = re.compile(r"[&\\%]")

# Each character is replaced by one character, so that places stay the same.
_ALIKE = str.maketrans(
    "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u2036\u301d\u301e"
    "\u2018\u2019\u201a\u201b\u2039\u203a\u2032\u2035\u00b4"
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00a0\u2003\u2002\u2009\u202f\u3000\u2044\u2215"
    # Letters of Cyrillic and Greek that look like those of ASCII.
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0455\u0456\u0458\u04bb\u0501\u051b\u051d"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0405\u0406\u0408"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    + "".join(map(chr, range(0xFF01, 0xFF5F))),
    '"' * 10 + "'" * 9 + "-" * 7 + " " * 6 + "//"
    "abekmhopctyxsijhdqw"
    "ABEKMHOPCTYXSIJ"
    "aopviABEHIKMNOPTYX" + "".join(map(chr, range(0x21, 0x7F))),
)


@dataclass(slots=True)
class Copy:
    """A text as it reads once some of its escapes are undone."""

    text: str
    source: "Copy | None" = None
    """The copy of which this is one; None if it is of the text itself."""
    places: Sequence[int] = ()
    """Of a copy without a source: where each character stands in the text."""
    starts: list[int] = field(default_factory=list)
    """Where each piece of a copy with a source begins in this one."""
    spans: list[tuple[int, int, bool]] = field(default_factory=list)
    """Where each piece stands in the source, and whether it reads there as here."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span of the text from which a span of this copy comes; it must not be empty."""
        if self.source is None:
            return self.places[start], self.places[end - 1] + 1
        return self.source.span(self._begin(start), self._end(end))

    def _begin(self, at: int) -> int:
        piece = bisect_right(self.starts, at) - 1
        first, _, same = self.spans[piece]
        return first + (at - self.starts[piece] if same else 0)

    def _end(self, at: int) -> int:
        piece = bisect_right(self.starts, at - 1) - 1
        first, behind, same = self.spans[piece]
        return first + at - self.starts[piece] if same else behind


def copies(text: str) -> Iterator[Copy]:
    """The text without invisible characters, then with one more layer of escapes undone each time."""
    seen, places = seen_of(text)
    copy = Copy(_plain(seen), places=places)
    yield copy
    for _ in range(_MOST_LAYERS):
        inner = _undone(copy)
        if inner is None:
            return
        yield inner
        copy = inner


def _plain(text: str) -> str:
    """The text with the characters for which keyboards and fonts have look-alikes as in ASCII."""
    return text if text.isascii() else text.translate(_ALIKE)


def _undone(copy: Copy) -> Copy | None:
    """The copy with its outermost escapes undone; None if it has none."""
    found = [one.span() for one in _ESCAPE.finditer(copy.text)] if _COULD_ESCAPE.search(copy.text) else []
    return with_meanings(copy, found, lambda span: _meant(copy.text[slice(*span)])) if found else None


def with_meanings(
    copy: Copy, found: Sequence[tuple[int, int]], meaning: Callable[[tuple[int, int]], str]
) -> Copy | None:
    """The copy with each of these spans replaced by its meaning; None if nothing is left."""
    inner = Copy("", copy)
    parts = list[str]()
    length = at = 0

    def add(text: str, start: int, end: int, *, same: bool) -> int:
        if text:
            inner.starts.append(length)
            inner.spans.append((start, end, same))
            parts.append(text)
        return length + len(text)

    for start, end in found:
        length = add(copy.text[at:start], at, start, same=True)
        length = add(meaning((start, end)), start, end, same=False)
        at = end
    add(copy.text[at:], at, len(copy.text), same=True)
    inner.text = _plain("".join(parts))
    return inner if parts else None


def _meant(escape: str) -> str:
    """The character that an escape stands for; nothing if that one is not seen."""
    if escape[0] == "&":
        char = html.unescape(escape)
    elif escape[0] == "%":
        char = bytes.fromhex(escape.replace("%", "")).decode("utf-8", "replace")
    else:
        code = escape.lstrip("\\")
        if len(code) < 2:  # noqa: PLR2004 - a letter, a quote, a slash, or nothing: a backslash
            return _CONTROLS.get(code.lower(), code or "\\")
        number = int(code[1:].strip("{}"), 16)
        char = chr(number) if number <= 0x10FFFF else "\ufffd"  # noqa: PLR2004 - the last of Unicode
    return "".join([one for one in char if is_seen(one)])

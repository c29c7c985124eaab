"""Secrets in untrusted text: found by their form or by the name before them, and never cut in two.

Each expression takes time proportional to the length of the text, whatever it contains: its repetitions are
possessive or bounded.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache

from abe_redis.sanitize.decoded import copies
from abe_redis.sanitize.invisible import seen_of
from abe_redis.sanitize.pieces import plainly_said, unbroken, unmarked, untagged
from abe_redis.sanitize.secret_columns import found_in_columns
from abe_redis.sanitize.secret_commands import found_in_commands
from abe_redis.sanitize.secret_forms import SLASH, found_by_form
from abe_redis.sanitize.secret_names import could_name, folded, found_by_name, is_name, is_named_within
from abe_redis.sanitize.secret_requests import found_in_requests
from abe_redis.sanitize.secret_writing import found_in_writing

MASKED = "***"

_CLUE = re.compile(r"[-.=@:_%&\\/0-9\"'`|<\niksIKS\u0080-\U0010ffff]|(?i:bearer)")
"""Every secret, with the name before it, contains one of these; many strings of an event contain none."""

_MOST_OF_A_NAME = 60
_MOST_OF_A_LABEL = 120

# From the two slashes to white space, a quote, or the next URL.
_URL = re.compile(rf":{SLASH}{SLASH}(?P<rest>(?:[^\s\":]++|:(?!{SLASH}{SLASH}))++)", re.IGNORECASE)
_PATH = re.compile(r"[/?#\\]")
_PORT = re.compile(r"\d{1,5}[/?#\\]")
_MOST_OF_A_PASSWORD = 2048
_LEAST_OF_A_TOKEN = 16
"""Length from which a URL's user name without a password counts as a token."""

_AHEAD = 8 * _MOST_OF_A_PASSWORD
"""Characters beyond a cut that are searched for the rest of a secret, such as the @ of a URL."""


def mask(text: str, also: Sequence[tuple[int, int]] = ()) -> str:
    """The text with secrets of known forms, credentials in URLs and values of secret names masked.

    Args:
        text: The text.
        also: Spans of it that are known to be secrets by what stands beside it.
    """
    if not also and not _CLUE.search(text):
        return text
    parts, at = list[str](), 0
    for start, end in _spans(text, also):
        parts += (text[at:start], MASKED)
        at = end
    return "".join([*parts, text[at:]]) if parts else text


def is_secret(name: str) -> bool:
    """Whether the value of a field of this name is a secret, whatever it looks like."""
    return _is_secret(name if len(name) <= _MOST_OF_A_NAME else seen_of(name)[0][-_MOST_OF_A_NAME:])


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return any(is_name(copy.text) for copy in copies(name))


@lru_cache(maxsize=4096)
def is_about_secret(said: str) -> bool:
    """Whether a label or an id names a secret anywhere in it, as `new-password-input-3f` does."""
    return any(is_named_within(copy.text) for copy in copies(said[:_MOST_OF_A_LABEL]))


def cut(text: str, most: int) -> str:
    """The beginning of a text, of at most that many characters, without a part of a secret that goes on."""
    if len(text) <= most:
        return text
    for start, end in _spans(text[: most + _AHEAD]):
        if start < most <= end:  # the character after its end may be needed to recognize it
            return text[:start]
    return text[:most]


def masked_end(text: str, most: int) -> str:
    """The end of a text, of at most that many characters, with secrets masked, also one cut in two."""
    return mask(text[-(most + _AHEAD) :])[-most:]


def spans(text: str) -> list[tuple[int, int]]:
    """The spans of the secrets in a text, in order and disjoint."""
    return list(_spans(text)) if _CLUE.search(text) else []


def _spans(text: str, also: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[int, int]]:
    """The spans of the secrets in a text and in its copies without escapes and marks."""
    found = list(also)
    for copy in copies(text):
        found += [copy.span(*span) for span in _found(copy.text) if span[0] < span[1]]
        if (words := untagged(copy)) is not None:
            found += [words.span(*span) for span in _found(words.text) if span[0] < span[1]]
        if could_name(folded(copy.text)) and (said := plainly_said(copy)) is not None:
            found += [said.span(*span) for span in _named(said.text) if span[0] < span[1]]
        plain = unmarked(copy)
        if plain is not None:
            found += [plain.span(*span) for span in found_by_form(plain.text, folded(plain.text))]
        if joined := unbroken(plain or copy):
            found += [joined[0].span(*span) for span in _broken(joined[0].text, joined[1])]
    found.sort()
    begin = end = -1
    for first, behind in found:
        if first >= end:  # it does not overlap the one before
            if end > 0:
                yield begin, end
            begin, end = first, behind
        end = max(end, behind)
    if end > 0:
        yield begin, end


_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _broken(text: str, lines: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The spans of secrets of known forms that continue in the next line with a part that has a digit."""
    for start, end in found_by_form(text, folded(text)):
        last = start
        for at in lines[bisect_right(lines, start) : bisect_left(lines, end)]:
            behind = lines[bisect_right(lines, at)] if at < lines[-1] else end
            part = text[at : min(end, behind)]
            if not any(char.isdigit() for char in part) or _DATE.match(part):
                break
            last = at + len(part)
        if last > start:
            yield start, last


def _found(text: str) -> Iterator[tuple[int, int]]:
    small = folded(text)
    yield from found_by_form(text, small)
    if could_name(small):
        yield from found_by_name(text, small)
        yield from found_in_writing(text, small)
        yield from found_in_columns(text, small)
    yield from found_in_requests(text, small)
    yield from found_in_commands(text, small)
    if "@" in text:
        yield from _credentials(text)


def _named(text: str) -> Iterator[tuple[int, int]]:
    small = folded(text)
    yield from found_by_name(text, small)
    yield from found_in_writing(text, small)


def _credentials(text: str) -> Iterator[tuple[int, int]]:
    for match in _URL.finditer(text):
        start = match.start("rest")
        is_web = text[max(0, match.start() - 5) : match.start()].lower().endswith(("http", "https"))
        if length := _length_of_credentials(match["rest"], is_web=is_web):
            yield start, start + length


def _length_of_credentials(rest: str, *, is_web: bool) -> int:
    """Length of the credentials in a URL, counted from its two slashes; 0 when there are none.

    A password may hold an @ or a / that should have been escaped, so it goes up to the last @. Only
    `http://host:80/x@y` is taken at its word.
    """
    user, colon, password = rest.partition(":")
    if colon and not _PATH.search(user) and not (is_web and _PORT.match(password)):
        return max(0, rest[:_MOST_OF_A_PASSWORD].rfind("@"))
    authority = _PATH.split(rest, maxsplit=1)[0]
    length = authority.rfind("@")
    return length if length >= _LEAST_OF_A_TOKEN else 0

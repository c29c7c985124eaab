"""Secrets in untrusted text: found by their form or by the name before them, and never cut in two.

Each expression takes time proportional to the length of the text, whatever it contains: its repetitions are
possessive or bounded.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from abe_redis.sanitize.decoded import copies
from abe_redis.sanitize.invisible import seen_of
from abe_redis.sanitize.secret_commands import found_in_commands
from abe_redis.sanitize.secret_forms import SLASH, found_by_form
from abe_redis.sanitize.secret_names import folded, found_by_name, is_name

MASKED = "***"

_CLUE = re.compile(r"[-.=@:_%&\\/0-9\"'\u0080-\U0010ffff]|bearer|basic|is ", re.IGNORECASE)
"""Every secret contains one of these; many strings of an event contain none."""

_MOST_OF_A_NAME = 60

# From the two slashes to white space, a quote, or the next URL.
_URL = re.compile(rf":{SLASH}{SLASH}(?P<rest>(?:[^\s\":]++|:(?!{SLASH}{SLASH}))++)", re.IGNORECASE)
_PATH = re.compile(r"[/?#\\]")
_PORT = re.compile(r"\d{1,5}[/?#\\]")
_MOST_OF_A_PASSWORD = 2048
_LEAST_OF_A_TOKEN = 16
"""Length from which a URL's user name without a password counts as a token."""

_AHEAD = 8 * _MOST_OF_A_PASSWORD
"""Characters after a cut that are searched for the end of a secret that begins before it, such as the @ of a
URL."""


def mask(text: str) -> str:
    """The text with secrets of known forms, credentials in URLs and values of secret names masked."""
    if not _CLUE.search(text):
        return text
    parts, at = list[str](), 0
    for start, end in _spans(text):
        parts += (text[at:start], MASKED)
        at = end
    return "".join([*parts, text[at:]]) if parts else text


def is_secret(name: str) -> bool:
    """Whether the value of a field of this name is a secret, whatever it looks like."""
    return _is_secret(name if len(name) <= _MOST_OF_A_NAME else seen_of(name)[0][-_MOST_OF_A_NAME:])


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return any(is_name(copy.text) for copy in copies(name))


def cut(text: str, most: int) -> str:
    """The beginning of a text, of at most that many characters, without a part of a secret that goes on."""
    if len(text) <= most:
        return text
    for start, end in _spans(text[: most + _AHEAD]):
        if start < most <= end:  # the character after its end may be needed to recognize it
            return text[:start]
    return text[:most]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets in a text and in its copies without escapes, in order and disjoint."""
    found = sorted(
        copy.span(*span) for copy in copies(text) for span in _found(copy.text) if span[0] < span[1]
    )
    begin = end = -1
    for first, behind in found:
        if first >= end:  # it does not overlap the one before
            if end > 0:
                yield begin, end
            begin, end = first, behind
        end = max(end, behind)
    if end > 0:
        yield begin, end


def _found(text: str) -> Iterator[tuple[int, int]]:
    small = folded(text)
    yield from found_by_form(text, small)
    yield from found_by_name(text, small)
    yield from found_in_commands(text, small)
    if "@" in text:
        yield from _credentials(text)


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

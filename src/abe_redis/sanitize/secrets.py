"""Secrets in untrusted text: found by their form or by the name of a field, and never cut in two.

Each expression takes time proportional to the length of the text, whatever it contains: its repetitions are
possessive or bounded.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from abe_redis.sanitize.invisible import seen_of

MASKED = "***"

# A slash, also as JSON, and JSON within JSON, escape it.
_SLASH = r"\\{0,4}/"

_TOKENS = re.compile(
    r"xox[a-z](?:\.[a-z]{3,8})?-[\w%+/=-]{8,}+"  # bot, user, refresh and configuration tokens, the cookie
    r"|(?:xapp|xwfp)-[\w%+/=-]{8,}+"
    # Incoming webhooks, workflow triggers, responses to commands: anyone who has the path may post.
    rf"|(?:https?:{_SLASH}{_SLASH})?hooks\.slack(?:-gov)?\.com\.?(?::\d{{1,5}})?(?:{_SLASH}|%2f)"
    rf"(?:[^\s\"'<>|\\]|{_SLASH})++",
    re.IGNORECASE,
)

_CLUE = re.compile("[-.=@\"']")
"""Every secret contains one of these; most strings of an event contain none."""

_BEGINNINGS = ("xox", "xapp", "xwfp")

# Any name that ends so, as in `bot_access_token`. `next_token` and its like are masked too: a model has no
# use for a place in somebody else's list, and no rule can tell it from a secret. Not `tokens`, which in
# Slack's `tokens_revoked` are users, and none of Slack's `trigger_id` and `client_msg_id`, which are ids.
_NAME = (
    r"(?:token|secret|passw(?:or)?d|passphrase|credentials?|authorization|cookies?"
    r"|(?:api|access|private|secret|signing)[ _.-]?key)"
)
_SECRET_NAME = re.compile(rf"{_NAME}\s*\Z", re.IGNORECASE)
_MOST_OF_A_NAME = 60

# JSON, or what Python prints, within a text. The quotes are escaped as often as it stands in other JSON. What
# is not closed in its line is masked to the end of that.
_NAMED = re.compile(
    rf"(?<!\\)(\\{{0,32}}[\"'])[\w .-]{{0,{_MOST_OF_A_NAME}}}?{_NAME}\1\s{{0,8}}:\s{{0,8}}"
    r"(?:\1(?P<text>(?:[^\n]*?(?=(?<!\\)\1)|[^\n]++))|(?P<rest>\[[^\]]++\]?|\{[^}]++\}?))"
    rf"|[?&][\w.-]{{0,{_MOST_OF_A_NAME}}}?{_NAME}=(?P<query>[^\s&#\"'<>|]++)",
    re.IGNORECASE,
)

# From the two slashes to white space, a quote, or the next URL.
_URL = re.compile(rf":{_SLASH}{_SLASH}(?P<rest>(?:[^\s\":]++|:(?!{_SLASH}{_SLASH}))++)", re.IGNORECASE)
_PATH = re.compile(r"[/?#\\]")
_PORT = re.compile(r"\d{1,5}[/?#\\]")
_MOST_OF_A_PASSWORD = 2048
_LEAST_OF_A_TOKEN = 16
"""Length from which a URL's user name without a password counts as a token."""

_AHEAD = 8 * _MOST_OF_A_PASSWORD
"""Characters after a cut that are searched for the end of a secret that begins before it, such as the @ of a
URL."""


def mask(text: str) -> str:
    """The text with Slack's secrets, credentials in URLs and fields that are named as secrets masked."""
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
    return _SECRET_NAME.search(seen_of(name)[0]) is not None


def cut(text: str, most: int) -> str:
    """The beginning of a text, of at most that many characters, without a part of a secret that goes on."""
    if len(text) <= most:
        return text
    for start, end in _spans(text[: most + _AHEAD]):
        if start < most <= end:  # the character after its end may be needed to recognize it
            return text[:start]
    return text[:most]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets, in order and disjoint, found in the visible part of the text."""
    seen, places = seen_of(text)
    end = 0
    for first, behind in _found(seen):
        if first >= end:
            yield places[first], places[behind - 1] + 1
        elif behind > end:  # it overlaps the one before
            yield places[end], places[behind - 1] + 1
        end = max(end, behind)


def _found(text: str) -> list[tuple[int, int]]:
    """The spans of the secrets, in order. Most texts do not contain anything that a secret begins with."""
    found = list[tuple[int, int]]()
    if "-" in text or "." in text:
        folded = text.lower()
        if "hooks.slack" in folded or ("-" in text and any(word in folded for word in _BEGINNINGS)):
            found += [match.span() for match in _TOKENS.finditer(text)]
    if "=" in text or (":" in text and ('"' in text or "'" in text)):
        named = [match.span(match.lastgroup or 0) for match in _NAMED.finditer(text)]
        found += [span for span in named if span[0] < span[1]]
    if "@" in text:
        found += _credentials(text)
    return sorted(found)


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

"""Secrets in what others wrote: found in a text, told by the name of a field, never cut in two.

Each expression takes time in proportion to the text, whatever is in it: what may repeat either cannot give
back what it took, or has a bound.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from abe_redis.sanitize.invisible import seen_of

MASKED = "***"

# A slash as it stands in JSON, and in JSON within JSON.
_SLASH = r"\\{0,4}/"

_TOKENS = re.compile(
    r"xox[a-z](?:\.[a-z]{3,8})?-[\w%+/=-]{8,}+"  # bot, user, refresh and configuration tokens, the cookie
    r"|(?:xapp|xwfp)-[\w%+/=-]{8,}+"
    # Incoming webhooks, the triggers of workflows, the answers to commands: whoever has the path may post.
    rf"|(?:https?:{_SLASH}{_SLASH})?hooks\.slack(?:-gov)?\.com\.?(?::\d{{1,5}})?(?:{_SLASH}|%2f)"
    rf"(?:[^\s\"'<>|\\]|{_SLASH})++",
    re.IGNORECASE,
)

_CLUE = re.compile("[-.=@\"']")
"""One of these is in any secret that is found; in most strings of an event is none."""

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
"""Characters from which on a URL's user alone is taken for a token."""

_AHEAD = 8 * _MOST_OF_A_PASSWORD
"""How far behind a cut it is sought what tells that a secret begins before it, as the @ of a URL does."""


def mask(text: str) -> str:
    """The text without what is a secret of Slack's, the credentials of a URL, or named as a secret."""
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
    """At most so many characters from the beginning of a text, and no part of a secret that goes on."""
    if len(text) <= most:
        return text
    for start, end in _spans(text[: most + _AHEAD]):
        if start < most <= end:  # what is behind its end may be what tells, too
            return text[:start]
    return text[:most]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets stand, in order and apart; sought in what is seen of the text."""
    seen, places = seen_of(text)
    end = 0
    for first, behind in _found(seen):
        if first >= end:
            yield places[first], places[behind - 1] + 1
        elif behind > end:  # it goes on where another ends
            yield places[end], places[behind - 1] + 1
        end = max(end, behind)


def _found(text: str) -> list[tuple[int, int]]:
    """Where secrets stand, in order; most texts have not even what a search would begin with."""
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
    """How long what stands before the host is, in a URL from its two slashes on; 0 when it is no secret.

    A password may hold an @ or a / that should have been escaped, so it goes up to the last @. Only
    `http://host:80/x@y` is taken at its word.
    """
    user, colon, password = rest.partition(":")
    if colon and not _PATH.search(user) and not (is_web and _PORT.match(password)):
        return max(0, rest[:_MOST_OF_A_PASSWORD].rfind("@"))
    authority = _PATH.split(rest, maxsplit=1)[0]
    length = authority.rfind("@")
    return length if length >= _LEAST_OF_A_TOKEN else 0

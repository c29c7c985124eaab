"""Secrets that people set beside a name in writing: in a sentence, in a line below, as a link, in a table.

What follows the name must look like a secret, since most of what is written so is none.
"""

import re
from collections.abc import Iterator

from abe_redis.sanitize.deferred import deferred
from abe_redis.sanitize.secret_names import LINK, NAME, looks_secret

_MARKS = r"[*_~`]{0,3}"
_VALUE = r"(?P<value>[^\s\"'`<>|*~]{1,200}+)"

_NAME = deferred(NAME)
# What may stand between a name and its value.
_FOR = r"\s{1,3}(?:for|of|to|on|in|from)(?:\s(?:[\w.@/-]{1,40}|<[@#!][\w|^.-]{1,60}>)){1,3}"
_BESIDE = deferred(
    rf"{_MARKS}(?:"
    # `password (prod): …`, `password :key: …`, `token for db: …`, `password - …`, `password: ||…||`
    rf"\s{{1,3}}(?:\([^()\n]{{1,40}}\)|:[\w+-]{{1,30}}:){_MARKS}\s{{0,4}}[:=-]{{0,2}}{_MARKS}\s{{0,4}}[|(\[`*_~]{{0,3}}"
    rf"|{_FOR}{_MARKS}(?:\s{{0,4}}[:=-]{{1,2}}|\s(?:is|was)\s(?:now\s)?|\s(?=[`*])){_MARKS}\s{{0,4}}[|(\[`*_~]{{0,3}}"
    r"|\s{1,4}-{1,2}\s{1,4}[`*_~]{0,3}"
    r"|\s{0,4}[:=]\s{0,4}[|(\[]{1,2}"
    # as code or bold
    r"|:?\s{1,4}[`*~]{1,3}_?"
    rf"){_VALUE}",
)
_NEXT = deferred(rf"{_MARKS}[ \t]{{1,3}}[\"']?{_VALUE}(?=[\s.,;!?\"']|\Z)")
_LEAST_OF_A_NEXT = 8
"""Characters of a secret that follows the name of another kind than a password, with no sign between."""
_VERBS = frozenset({"pass", "bearer"})
"""Names that are more often something else in a sentence."""
_SPOKEN = deferred(r"(?<![\w-])(?:passw(?:or)?d|passphrase|passcode|pwd|pw)")
_LINKED = deferred(rf"{_MARKS}(?:\s{{0,4}}[:=-])?(?:\s{{1,4}}(?:is|was):?)?\s{{1,4}}(?=[<\[])")
_BELOW = deferred(
    rf"(?:\s?\([^()\n]{{1,40}}\)|{_FOR})?"
    rf"{_MARKS}\s{{0,3}}[:=]?{_MARKS}(?:\s(?:is|was))?:?{_MARKS}"
    r"[ \t]{0,8}(?:\r?\n[ \t]{0,8}){1,4}"
    r"(?:>|&gt;|[\u2022\u25e6*+-]\s|\d{1,2}[.)]\s)?[ \t]{0,8}"
    r"(?:```[a-z]{0,10}\n?|[`*_~|]{1,2})?[ \t]{0,8}"
    rf"{_VALUE}(?=[`*_~|\"']{{0,3}}[ \t]{{0,8}}(?:\r?\n|\Z|```))",
)
_IS = deferred(
    rf"{NAME}(?:'s|\s{{1,4}}(?:is|was|are|ist|lautet|reads|will be|should be"
    r"|(?:(?:has been|is|was|got)\s{1,4}(?:now\s)?)?(?:re)?(?:set|changed|updated)\s{1,4}to)"
    r"(?:\s{1,4}now\b)?)(?![a-z])"
    r"\s{0,4}[:=]?\s{0,4}[\"'`*_]{0,2}(?P<value>[^\s\"'`<>|]++)",
)
# `setPassword("…")`, `os.environ["TOKEN"] = …`; `set the password to …`
_SETTER = deferred(
    rf"(?:\b(?:set|with|add)[a-z_]{{0,20}}?|\.){NAME}\(\s{{0,4}}[\"'](?P<value>[^\"'\n]{{1,200}}+)"
    r"|[\"']auth[\"']\s{0,4}:\s{0,4}[\"'](?P<auth>[\w+/=-]{6,200}+)[\"']"
    rf"|\b(?:set|reset|changed?|updated?)\s(?:(?:the|my|your|its|our)\s)?(?:[a-z]{{1,20}}\s){{0,2}}?{NAME}\s{{1,3}}to\s{{1,3}}"
    r"[\"'`*_]{0,2}(?P<other>[^\s\"'`<>|*~]{1,200}+)"
)
# `creds: admin / …`
_LOGIN = deferred(
    r"\b(?:creds?|credentials?|log[io]ns?|user(?:name)?\s?[/,&+]\s?pass(?:word)?|basic auth)"
    rf"(?:{_FOR})?\s{{0,3}}(?:(?:[:=\u2192]|->|=>|-)\s{{0,3}})?[`\"']?[\w.@-]{{1,60}}[`\"']?\s{{0,2}}[/|:]\s{{0,2}}[`\"']?{_VALUE}"
    # `login bob pass …`
    r"|\b(?:log[io]n|user(?:name)?)\s{1,3}[\w.@-]{1,60}\s{1,3}pass\s{1,3}(?P<spoken>[^\s\"'`<>|*~]{1,200}+)"
)
# `passwords: …, …`, `password: … or …`
_SEVERAL = deferred(
    rf"{_MARKS}(?:\s{{0,4}}[:=]|\s(?:is|are))\s{{0,4}}(?P<all>[^\s,\"'`<>|*~]{{1,200}}+"
    r"(?:(?:\s?[,/]|\s(?:or|and))\s[^\s,\"'`<>|*~]{1,200}+){1,8})"
)
_BETWEEN = deferred(r"\s?[,/]\s|\s(?:or|and)\s")
# `use … as the password`, `… (password)`
_TURNED = deferred(
    rf"(?<![^\s\"'`(]){_VALUE}[\"'`]?\s{{1,3}}"
    rf"(?:(?:is|as)\s(?:(?:the|my|your|our|its|a)\s)?(?:[\w-]{{1,20}}\s){{0,2}}?{NAME}|\((?:the\s)?{NAME}\))"
)
_MOST_OF_A_LABEL = 60


def found_in_writing(text: str, small: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets. `small` is the text, `folded`."""
    yield from _told(text, small)
    for head in _NAME.finditer(small):
        yield from _beside(text, small, head)
    for pattern in (_SETTER, _LOGIN, _TURNED):
        for match in pattern.finditer(small):
            yield from _likely(text, match, "password")


def _told(text: str, small: str) -> Iterator[tuple[int, int]]:
    for match in _IS.finditer(small):
        start, end = match.span("value")
        if looks_secret(text[start:end]):
            yield start, start + len(text[start:end].rstrip(".,;:!?)*_"))


def _beside(text: str, small: str, head: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The text beside or below a name."""
    name, at = head[0], head.end()
    if name in _VERBS:
        return
    if match := _BESIDE.match(small, at):
        yield from _likely(text, match, name)
    if match := _NEXT.match(small, at):
        least = 0 if _SPOKEN.fullmatch(name) else _LEAST_OF_A_NEXT
        yield from _likely(text, match, name) if len(match["value"]) >= least else ()
    if match := _SEVERAL.match(small, at):
        yield from _each(text, match, name)
    between = _LINKED.match(small, at)
    link = LINK.match(text, between.end()) if between else None
    if link and looks_secret(link["label"] or link["text"], name):
        yield link.span()
    if match := _BELOW.match(small, at):
        line = small.rfind("\n", max(0, head.start() - _MOST_OF_A_LABEL - 1), head.start())
        if line >= 0 or head.start() <= _MOST_OF_A_LABEL:
            yield from _likely(text, match, name)


def _each(text: str, match: re.Match[str], name: str) -> Iterator[tuple[int, int]]:
    """The secrets of a list, up to the first word that is none."""
    at, end = match.span("all")
    while at < end:
        sign = _BETWEEN.search(match.string, at, end)
        word = text[at : sign.start() if sign else end].rstrip(".,;:!?)]}_")
        if not looks_secret(word, name):
            return
        yield at, at + len(word)
        at = sign.end() if sign else end


def _likely(text: str, match: re.Match[str], name: str) -> Iterator[tuple[int, int]]:
    start, end = match.span(match.lastgroup or 0)
    word = text[start:end].rstrip(".,;:!?)]}_")
    if looks_secret(word, name):
        yield start, start + len(word)

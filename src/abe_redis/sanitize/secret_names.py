"""Secrets that are known by the name before them: `"token": "…"`, `API_KEY=…`, `Authorization: Bearer …`.

How much a name says depends on how it is written. A quoted name with a value, and `NAME=value`, are a
setting, so the value is a secret whatever it looks like. `password: word` may be a sentence, so the word must
look like a secret, as `hunter2` and `Tr0ub4dor&3` do.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from abe_redis.sanitize.deferred import deferred

_QUOTE = r"\\{0,32}[\"'`]"

# Any name that ends so, as in `bot_access_token`. `next_token` and its like are masked too: a model has no
# use for a place in somebody else's list, and no rule can tell it from a secret. Not `tokens`, which in
# Slack's `tokens_revoked` are users, and none of Slack's `trigger_id` and `client_msg_id`, which are ids.
# .NET's `PublicKeyToken` is public.
_LONG = (
    r"token(?<!publickeytoken)|secrets?|(?:db|pg|user|my|root|admin|ftp|smtp|mail|http|proxy|redis)pass"
    r"|cookies?|connection[ _.-]?string|webhook[ _.-]?url"
    r"|passw(?:or)?ds?|passwort|passphrases?|passcodes?|cred(?:ential)?s?(?<![a-z]cred)(?<![a-z]creds)|authorization"
    r"|(?:recovery|backup|2fa|mfa|one[ -]?time|verification|security)[ _.-]?codes?"
    # The word in other languages, with the letters that look like Latin ones as `decoded` has them.
    r"|kennwort|mot de passe|contrase\u00f1a|senha(?<![a-z]senha)|wachtwoord|l\u00f6senord|has\u0142o"
    r"|\u043fapo\u043b\u044c|\u30d1\u30b9\u30ef\u30fc\u30c9|\u5bc6\u7801|\u5bc6\u78bc|\ube44\ubc00\ubc88\ud638"
    r"|(?:api|access|account|auth|client|crypt(?:ion)?|encryption|hmac|license|master|private|secret|service"
    r"|session|shared(?:access)?|signing|storage|subscription|ssh)[ _.-]?keys?"
)
# Short ones are parts of other words, so they stand alone or behind a separator.
_ALONE = ("pass", "pw", "pin", "otp", "jwt", "dsn", "bearer")
_SHORT = "|".join(["pwd", "auth(?<=_auth)", *(f"{word}(?<![a-z]{word})" for word in _ALONE)])
_HUMP = deferred(r"[a-z](?=(?:Pass|Pw|Pin|Otp|Jwt|Dsn|Bearer)(?![a-z]))")
_BEHIND = (
    r"(?:[ _.-]?(?:value|string|text|hash|plain|confirm(?:ation)?|repeat|prod(?:uction)?|dev|test|staging"
    r"|live|base|input|field|block|box|element|entry|action|answer|v?\d{1,3})){0,2}"
)
NAME = rf"(?:{_LONG}|{_SHORT}){_BEHIND}"

_IS_NAME = deferred(rf"{NAME}\s*\Z")
_HUMPS = deferred(r"(?<=[a-z0-9])(?=[A-Z])")
_WITHIN = deferred(rf"{NAME}(?![a-z])|passw(?:or)?d|passphrase|credential|api[ _.-]?key")
_PASSWORD = deferred(r"passw|passc|passp|pwd|pw\b|pin\b|otp\b|secret|kennw|\bcode", re.IGNORECASE)
_WORDS = (
    *("token", "secret", "pass", "credential", "auth", "cookie", "key", "string", "webhook", "pwd", "pw"),
    *("pin", "otp", "jwt", "dsn", "bearer", "cred", "code", "kennwort", "mot de", "contrase\u00f1a", "senha"),
    *(
        "wachtwoord",
        "l\u00f6senord",
        "has\u0142o",
        "\u043fapo",
        "\u30d1\u30b9\u30ef\u30fc\u30c9",
        "\u5bc6",
        "\ube44\ubc00",
    ),
)
"""A text without any of these has no such name."""

# Slack's markup may stand around the name, brackets behind it, and the sign of a block before the value.
_HEAD = deferred(
    rf"(?P<name>{NAME})(?:\[[^\]\n]{{0,20}}\])?[*_~]{{0,2}}\s{{0,4}}(?P<close>{_QUOTE})?\]?(?P<before>\s{{0,8}})"
    rf"(?P<sign>=>|->|\u2192|:=|==?|:)(?:(?!\*{{3}})[*_~]{{1,2}})?(?P<after>(?:\s{{0,8}}[|>][-+]?\s{{0,40}}\n)?\s{{0,8}})"
)
_OF_SENTENCES = (":", "->", "\u2192")
_OPEN = deferred(rf"[bruf@$]{{0,2}}(?P<quote>{_QUOTE})", re.IGNORECASE)
_NUMBER = deferred(r"[+-]?\d[\d._]*(?![\w-])")
_NOTHING = deferred(r"(?:null|none|nil|true|false|undefined|\*{3,})(?![\w-])", re.IGNORECASE)
_BRACKETS = deferred(rf"{_QUOTE}|[\[\]{{}}()]")
_EMPTY = deferred(r"(?:[\s,{}\[\]()]|null|true|false|none|-?\d[\d.]*)*+", re.IGNORECASE)
# Up to white space, a quote, or the next part of a query, of Slack's markup, or of a connection string.
_WORD = deferred(
    r"(?:[^\s&\"'`<>|\\;,]|\\(?![\\nrt\"'`])|[;,](?=[^\s;,&\"'`<>|\\]{1,80})(?![\w .-]{1,40}=))++"
)
PLACEHOLDER = deferred(
    r"\$\{[^}\n]{0,100}\}?|\$\(|(?-i:\$[A-Z_][A-Z0-9_]*(?!\w))|\{\{|%[sdr]\b|%\(|\.{3}|\u2026|x{3,}(?!\w)|<|\[?redacted|\*\*\*"
    r"|(?:os|self|cls|settings?|config|process|env|args|options|this|request|secrets|vars)\.\w",
    re.IGNORECASE,
)
LINK = deferred(
    r"<(?:[a-z]{2,10}:|!)[^|<>\n]{0,2000}\|(?P<label>[^|<>\n]{1,200})>"
    r"|\[(?P<text>[^\[\]\n]{1,200})\]\([^()\n]{0,2000}\)",
    re.IGNORECASE,
)
"""A link with its label, in Slack's markup or in Markdown."""
_CALL = deferred(r"[A-Za-z_][\w.]{0,100}+[(\[]")

_HEADER = deferred(
    r"(?P<name>(?:proxy-)?authorization|(?:set-)?cookie2?)\s{0,4}"
    rf"(?:{_QUOTE})?\s{{0,4}}[:=,]\s{{0,8}}(?:b?{_QUOTE})?(?P<value>[^\r\n\"'`<>\\]++)",
)
_SCHEME = deferred(
    r"(?P<one>bearer|basic|token|apikey|api-key|negotiate|ntlm|splunk|key|bot|dpop|ssws)\s{1,8}[`*_~]{0,3}(?P<what>[^\s\"'`,;<>\\]++)"
    r"|(?P<many>digest|hawk|oauth|aws4-hmac-sha256|signature|mac|scram-sha-256)\s{1,8}(?P<all>[^\r\n]++)",
)

# An object with a name beside a value, as HAR, Kubernetes and Slack's fields have it, or a pair in a list.
NAMES_A_NAME = ("name", "key", "header", "field", "label", "title", "property", "variable", "id", "k", "n")
NAMES_A_VALUE = (
    "value",
    "values",
    "val",
    "v",
    "data",
    "default",
    "initial_value",
    "rich_text_value",
    "valuefrom",
)
_MEANS = rf"(?:{'|'.join(NAMES_A_NAME)})"
_HOLDS = rf"(?:{'|'.join(NAMES_A_VALUE)})"
_BESIDE = (
    rf"(?:\s{{0,80}}[,;]?\s{{0,80}}(?:{_QUOTE})?\w{{1,20}}(?:{_QUOTE})?\s{{0,4}}[:=]\s{{0,4}}"
    rf"(?:{_QUOTE}[^\n\"'`\\]{{0,80}}{_QUOTE}|[\w.]{{1,40}})){{0,2}}"
)
"""Fields between the name and its value."""
_NAMED = rf"{_MEANS}(?:{_QUOTE})?\s{{0,4}}[:=]\s{{0,4}}(?:{_QUOTE})?[\w .-]{{0,40}}?{NAME}(?:{_QUOTE})?"
_VALUED = rf"(?<![\w-]){_HOLDS}(?:{_QUOTE})?\s{{0,4}}[:=]\s{{0,4}}"
_PAIR = deferred(rf"\b{_NAMED}{_BESIDE}\s{{0,80}}[,;]?\s{{0,80}}(?:-\s)?(?:{_QUOTE})?{_VALUED}(?=[\S])")
_TURNED = deferred(
    rf"{_VALUED}(?P<quote>{_QUOTE})(?P<value>[^\n\"'`]{{1,4096}}+)(?P=quote)\s{{0,80}}[,;]?\s{{0,80}}(?:{_QUOTE})?{_NAMED}(?![\w-])",
)
_TUPLE = deferred(
    rf"[\[(]\s{{0,80}}b?{_QUOTE}(?P<name>[\w .-]{{0,40}}?{NAME}){_QUOTE}\s{{0,8}},\s{{0,80}}(?=[\w\\\"'`])"
)
_PLAIN = ("token", "secret", "secrets", "pass", "pin", "password", "cookie", "cookies", "credentials")
"""Names that are also words of a list, such as one of topics."""
_ELEMENT = deferred(rf"<[\w:.-]{{0,40}}?{NAME}(?:\s[^<>]{{0,200}})?>(?:<!\[cdata\[)?(?P<value>[^<>]++)>?</")

_USUAL = deferred(
    r"v?\d+(?:[.:/-]\d+)++\w{0,3}|\d{1,2}(?::\d\d)+\w{0,2}|https?:.*|:[\w+-]+:.*|[#@]\w.*|\d{1,3}(?:,\d{3})++"
    r"|\d{1,4}(?:[mk]?s|[mhdwkx]|[kmg]i?b|sec\w*|min\w*|hours?|days?|weeks?|months?|years?|char\w*|bytes?|bits?|th)"
    r"|[a-z]++(?:[-_/][a-z]++)*+",
    re.IGNORECASE,
)
_LEAST_OF_A_WORD = 5
_MOST_OF_A_WORD = 200
_LONGEST_OF_WORDS = 24
"""Sequences of letters that no word of a sentence has, but a secret may have."""
_LEAST_OF_A_PASSWORD = 4
_LEAST_OF_A_NUMBER = 6


def folded(text: str) -> str:
    """The text in small letters, each in its place; a name such as `dbPass` becomes two words (`d_pass`)."""
    small = _HUMP.sub("_", text).lower()
    return (
        small if len(small) == len(text) else "".join([one if one.isupper() else one.lower() for one in text])
    )


def is_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return _IS_NAME.search(folded(name)) is not None


def is_named_within(said: str) -> bool:
    """Whether a label or an id names a secret anywhere in it."""
    return _WITHIN.search(folded(_HUMPS.sub("_", said))) is not None


def is_secret_number(name: str, number: str) -> bool:
    """Whether a number under the name of a secret is one, rather than a count or a limit."""
    return len(number) >= (1 if _PASSWORD.search(name) else _LEAST_OF_A_NUMBER)


def is_pair(name: str, value: str) -> bool:
    """Whether two strings in a row are the name of a secret and the secret."""
    if _IS_NAME.search(folded(name)) is None:
        return False
    return name.lower() not in _PLAIN or looks_secret(value) or _SCHEME.match(folded(value)) is not None


def could_name(small: str) -> bool:
    """Whether a folded text may hold the name of a secret."""
    return any(word in small for word in _WORDS)


def found_by_name(text: str, small: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets that a name announces.

    Args:
        text: Where to look.
        small: The same, `folded`: names are looked for there.
    """
    yield from _assigned(text, small)
    yield from _in_headers(text, small)
    yield from _beside_a_name(text, small)


# Names with a value ------------------------------------------------------------------------------------


def _assigned(text: str, small: str) -> Iterator[tuple[int, int]]:
    at = 0
    while head := _HEAD.search(small, at):
        span = _value(text, head)
        if span is None:
            at = head.end()
        else:
            yield span
            at = span[1]


def _value(text: str, head: re.Match[str]) -> tuple[int, int] | None:
    at = head.end()
    if opened := _OPEN.match(text, at):
        return _quoted(text, opened)
    if _NOTHING.match(text, at):
        return None
    if head["close"] is not None or head["sign"] not in _OF_SENTENCES:
        if text[at : at + 1] in {"[", "{", "("}:
            return _bracketed(text, at)
        if head["close"] is not None and (number := _NUMBER.match(text, at)):
            return number.span() if is_secret_number(head["name"], number[0]) else None
    return _bare(text, head)


def _bare(text: str, head: re.Match[str]) -> tuple[int, int] | None:
    """A value without quotes: whatever it is in a setting, what looks like a secret in a sentence."""
    at = head.end()
    if link := LINK.match(text, at):
        return link.span() if looks_secret(link["label"] or link["text"], head["name"]) else None
    if PLACEHOLDER.match(text, at):
        return None
    if head["close"] is None and (head["sign"] in _OF_SENTENCES or (head["before"] and head["after"])):
        # An unmasked value is searched again from the next name on, so it must be short.
        begun = _WORD.match(text, at, at + _MOST_OF_A_WORD)
        word = _WORD.match(text, at) if begun and looks_secret(begun[0], head["name"]) else None
        return _trimmed(word) if word else None
    is_path = head["name"] == "pwd" and text[at : at + 1] in {"/", "~"}
    word = None if is_path or _CALL.match(text, at) else _WORD.match(text, at)
    return None if word is None or word[0].lower() == head["name"] else word.span()


@lru_cache(maxsize=256)
def _closing(quote: str) -> re.Pattern[str]:
    return re.compile(rf"[^\n]*?(?=(?<!\\){re.escape(quote)})|[^\n]*+")


def _quoted(text: str, opened: re.Match[str]) -> tuple[int, int] | None:
    """The text between quotes that are escaped alike; to the end of the line if it is open."""
    start = opened.end()
    if text.startswith(2 * opened["quote"], start):  # three quotes, of Python or of Slack's code
        start += 2 * len(opened["quote"])
    inner = _closing(opened["quote"]).match(text, start)
    if inner is None or inner.start() == inner.end():
        return None
    said = inner[0].strip()
    whole = PLACEHOLDER.match(said)
    if _NOTHING.fullmatch(said) or (whole and (whole.end() == len(said) or said[:2] in ("${", "{{", "$("))):
        return None
    return inner.span()


def _bracketed(text: str, start: int) -> tuple[int, int] | None:
    """A list or an object up to where it is closed; to the end if it is not. None if nothing is in it."""
    empty = _EMPTY.match(text, start)
    depth, quote = 0, ""
    for token in _BRACKETS.finditer(text, start):
        if quote:
            quote = "" if token[0] == quote else quote
        elif token[0][-1] in "\"'`":
            quote = token[0]
        else:
            depth += 1 if token[0] in "[{(" else -1
            if depth == 0:
                return None if empty and empty.end() >= token.end() else (start, token.end())
    return None if empty and empty.end() >= len(text) else (start, len(text))


# Headers, pairs -------------------------------------------------------------------


def _in_headers(text: str, small: str) -> Iterator[tuple[int, int]]:
    for header in _HEADER.finditer(small):
        start = header.start("value")
        scheme = _SCHEME.match(small, start)
        if scheme is not None:
            span = scheme.span("what" if scheme["one"] else "all")
            if not PLACEHOLDER.match(text, *span):
                yield span
        elif "cookie" in header["name"] and "=" in header["value"]:
            yield start, start + len(header["value"].rstrip())


def _beside_a_name(text: str, small: str) -> Iterator[tuple[int, int]]:
    for pattern in (_PAIR, _TUPLE):
        at = 0
        while match := pattern.search(small, at):
            span = _plain_value(text, match.end())
            if span and pattern is _TUPLE and not is_pair(match["name"], text[slice(*span)]):
                span = None
            if span:
                yield span
            at = span[1] if span else match.end()
    for pattern in (_TURNED, _ELEMENT):
        for match in pattern.finditer(small):
            if match["value"].strip() and not _NOTHING.fullmatch(match["value"].strip()):
                yield match.span("value")


def _plain_value(text: str, at: int) -> tuple[int, int] | None:
    if opened := _OPEN.match(text, at):
        return _quoted(text, opened)
    if text[at : at + 1] in {"[", "{"}:
        return _bracketed(text, at)
    if _NOTHING.match(text, at) or PLACEHOLDER.match(text, at):
        return None
    word = _WORD.match(text, at)
    return word.span() if word else None


def _trimmed(word: re.Match[str]) -> tuple[int, int]:
    return word.start(), word.start() + len(word[0].rstrip(".,;:!?)*_}]"))


def looks_secret(word: str, name: str = "") -> bool:
    """Whether a word that follows the name of a secret in a sentence is likely one.

    It has a digit or a sign among its letters, or is a long number, and is no date, version, address or link.
    """
    word = word.rstrip(".,;:!?)*_}]").lstrip("(*_")
    if word.isdigit():
        return len(word) >= (_LEAST_OF_A_PASSWORD if _PASSWORD.search(name) else _LEAST_OF_A_NUMBER)
    if word.isalpha() and word.isascii() and len(word) >= _LONGEST_OF_WORDS:
        return True
    if len(word) < _LEAST_OF_A_WORD or _USUAL.fullmatch(word) or PLACEHOLDER.match(word):
        return False
    has_digit = any(char.isdigit() for char in word)
    has_sign = any(char in "!$%^&*+=~#@?" for char in word[1:])
    return any(char.isalpha() for char in word) and (has_digit or has_sign)

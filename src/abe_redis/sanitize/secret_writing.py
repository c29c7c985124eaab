"""Secrets that people set beside a name in writing: in a sentence, in a line below, as a link, in a table.

What follows the name must look like a secret, since most of what is written so is none.
"""

import re
from collections.abc import Iterator

from abe_redis.sanitize.secret_names import LINK, NAME, could_name, looks_secret

_MARKS = r"[*_~`]{0,3}"
_VALUE = r"(?P<value>[^\s\"'`<>|*~]{1,200}+)"

_NAME = re.compile(NAME)
# What may stand between a name and its value.
_BESIDE = re.compile(
    rf"{_MARKS}(?:"
    # `password (prod): …`, `token for db: …`, `password :key: …`, `password - …`, `password: ||…||`
    r"(?:\s{1,3}(?:\([^()\n]{1,40}\)|:[\w+-]{1,30}:|(?:for|of|to|on|in|from)(?:\s[\w.@/-]{1,40}){1,3}))"
    rf"{_MARKS}\s{{0,4}}[:=-]{{0,2}}{_MARKS}\s{{0,4}}[|(\[`*_~]{{0,3}}"
    r"|\s{1,4}-{1,2}\s{1,4}[`*_~]{0,3}"
    r"|\s{0,4}[:=]\s{0,4}[|(\[]{1,2}"
    # as code or bold
    r"|:?\s{1,4}[`*~]{1,3}_?"
    rf"){_VALUE}",
)
_NEXT = re.compile(rf"\s{{1,3}}{_VALUE}(?=[\s.,;!?\"']|\Z)")
_VERBS = frozenset({"pass", "bearer"})
"""Names that are more often something else in a sentence."""
_SPOKEN = re.compile(r"(?<![\w-])(?:passw(?:or)?d|passphrase|passcode|pwd)")
_LINKED = re.compile(rf"{_MARKS}(?:\s{{0,4}}[:=-])?(?:\s{{1,4}}(?:is|was))?\s{{1,4}}(?=[<\[])")
_BELOW = re.compile(
    rf"(?:\s?\([^()\n]{{1,40}}\))?{_MARKS}\s{{0,3}}[:=]?{_MARKS}(?:\s(?:is|was))?:?{_MARKS}"
    r"[ \t]{0,8}(?:\r?\n[ \t]{0,8}){1,4}"
    r"(?:>|&gt;|[\u2022\u25e6*+-]\s|\d{1,2}[.)]\s)?[ \t]{0,8}"
    r"(?:```[a-z]{0,10}\n?|[`*_~|]{1,2})?[ \t]{0,8}"
    rf"{_VALUE}(?=[`*_~|\"']{{0,3}}[ \t]{{0,8}}(?:\r?\n|\Z|```))",
)
_IS = re.compile(
    rf"{NAME}(?:'s|\s{{1,4}}(?:is|was|are|ist|lautet|reads|changed to|set to))(?![a-z])"
    r"\s{0,4}[:=]?\s{0,4}[\"'`*_]{0,2}(?P<value>[^\s\"'`<>|]++)",
)
_ROW = re.compile(r"^[ \t\"'>]{0,8}\|(?P<cells>[^\n]{1,4000})", re.MULTILINE)
_RULE = re.compile(r"[\s|:-]+")
_NAME_OF_COLUMN = re.compile(rf"{_MARKS}(?:[\w .-]{{0,40}}?){NAME}{_MARKS}")
_MOST_OF_A_LABEL = 60


def found_in_writing(text: str, small: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets. `small` is the text, `folded`."""
    if not could_name(small):
        return
    yield from _told(text, small)
    for head in _NAME.finditer(small):
        yield from _beside(text, small, head)
    if "|" in text:
        yield from _in_columns(text, small)


def _told(text: str, small: str) -> Iterator[tuple[int, int]]:
    for match in _IS.finditer(small):
        start, end = match.span("value")
        if looks_secret(text[start:end]):
            yield start, start + len(text[start:end].rstrip(".,;:!?)*_"))


def _beside(text: str, small: str, head: re.Match[str]) -> Iterator[tuple[int, int]]:
    """What stands beside or below a name."""
    name, at = head[0], head.end()
    if name in _VERBS:
        return
    if match := _BESIDE.match(small, at):
        yield from _likely(text, match, name)
    if _SPOKEN.fullmatch(name) and (match := _NEXT.match(small, at)):
        yield from _likely(text, match, name)
    between = _LINKED.match(small, at)
    link = LINK.match(text, between.end()) if between else None
    if link and looks_secret(link["label"] or link["text"], name):
        yield link.span()
    if match := _BELOW.match(small, at):
        line = small.rfind("\n", max(0, head.start() - _MOST_OF_A_LABEL - 1), head.start())
        if line >= 0 or head.start() <= _MOST_OF_A_LABEL:
            yield from _likely(text, match, name)


def _likely(text: str, match: re.Match[str], name: str) -> Iterator[tuple[int, int]]:
    start, end = match.span("value")
    word = text[start:end].rstrip(".,;:!?)]}_")
    if looks_secret(word, name):
        yield start, start + len(word)


def _in_columns(text: str, small: str) -> Iterator[tuple[int, int]]:
    """The cells of a table's columns that have the name of a secret at their head."""
    behind, named = -2, list[bool]()
    for row in _ROW.finditer(small):
        at = row.start("cells")
        if row.start() != behind + 1:  # another table
            named = [_is_of_secrets(cell.strip()) for cell in row["cells"].split("|")]
        elif any(named) and not _RULE.fullmatch(row["cells"]):
            for position, cell in enumerate(row["cells"].split("|")):
                if position < len(named) and named[position] and cell.strip(" -"):
                    start = at + len(cell) - len(cell.lstrip())
                    yield start, start + len(text[start : at + len(cell)].rstrip())
                at += len(cell) + 1
        behind = row.end()


def _is_of_secrets(head: str) -> bool:
    """Whether the cells below this one hold secrets."""
    return head not in _VERBS and _NAME_OF_COLUMN.fullmatch(head) is not None

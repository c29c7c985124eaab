"""Secrets in the columns of a table that people paste: between bars, tabs, spaces, commas or semicolons."""

import re
from collections.abc import Iterator

from abe_redis.sanitize.deferred import deferred
from abe_redis.sanitize.secret_names import NAME, looks_secret

_BETWEEN = (
    ("|", deferred(r"\|")),
    ("\t", deferred(r"\t")),
    (",", deferred(r",")),
    (";", deferred(r";")),
    ("  ", deferred(r" {2,20}")),
)
"""Separators of cells: a quick test for each, and the full expression."""
_LINE = deferred(r"(?P<quote>[\"'>`]{0,4}[ \t]{0,8})(?P<cells>[^\r\n]{1,4000})")
_RULE = deferred(r"[\s|:+=-]+")
_HEAD = deferred(rf"[*_~`\"']{{0,3}}(?:[\w .-]{{0,40}}?){NAME}[*_~`\"']{{0,3}}")
_NOT_SECRET = frozenset({"pass", "bearer"})
_MOST_OF_A_HEAD = 60
_AROUND = " \t-\"'`"

type Cell = tuple[int, int]


def found_in_columns(text: str, small: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets. `small` is the text, `folded`."""
    for sign, between in _BETWEEN:
        if sign in text and "\n" in text:
            yield from _columns(text, small, sign, between)


def _columns(text: str, small: str, sign: str, between: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    behind, head, named, may_be_sentence = -1, list[Cell](), list[bool](), False
    for line in _LINE.finditer(small):
        start, end = line.span("cells")
        if sign not in line["cells"]:
            behind = -1
            continue
        cells = _cells(small, start, end, between)
        follows = line.start() == behind + 1 and behind >= 0
        if not follows or (sign in ",;" and len(cells) != len(head)):
            head, named = cells, [_is_of_secrets(small[slice(*cell)]) for cell in cells]
            may_be_sentence = sign in ",;" and any(small[first : first + 1] == " " for first, _ in cells)
        elif any(named) and not _RULE.fullmatch(line["cells"]):
            for cell, is_secret in zip(cells, named, strict=False):
                first, last = cell
                word = text[first:last].strip(_AROUND)
                if is_secret and word and (not may_be_sentence or looks_secret(word)):
                    at = text.index(word, first)
                    yield at, at + len(word)
        behind = line.end()


def _cells(text: str, start: int, end: int, between: re.Pattern[str]) -> list[Cell]:
    cells, at = list[Cell](), start
    for sign in between.finditer(text, start, end):
        cells.append((at, sign.start()))
        at = sign.end()
    return [*cells, (at, end)]


def _is_of_secrets(head: str) -> bool:
    """Whether the cells below this one hold secrets."""
    if len(head) > _MOST_OF_A_HEAD:
        return False
    word = head.strip(_AROUND)
    return word not in _NOT_SECRET and _HEAD.fullmatch(word) is not None

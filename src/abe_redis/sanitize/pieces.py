"""Joins the pieces of words that Slack's marks or a line end split.

The copies hold only such words, so that most texts cost nothing.
"""

import re
from collections.abc import Iterable

from abe_redis.sanitize.decoded import Copy, with_meanings

_IN_WORDS = "[A-Za-z0-9_+/=%.-]"

_COULD_MARK = re.compile(r"[*~`_\\]")
# Marks in the midst of a word; no `***`, which stands for a secret, and no line as in `snake_case`.
_INNER = re.compile(
    r"[*~`_\\](?<=[A-Za-z0-9.-].)(?:(?<=[*~`\\])|_?[*~`\\]|_?(?=[.-])|(?<=[.-]_)_?)"
    r"(?<!\*\*\*)[*~`_]{0,4}(?<!\*\*\*)[A-Za-z0-9._-]"
)
_MARK = re.compile(r"[*~`_\\]")
# Marks in the midst of a word; no `***`, which stands for a secret, and no line as in `snake_case`.
_INNER = re.compile(
    r"[A-Za-z0-9.-](?:_{0,2}(?:\*{1,2}(?!\*)|~{1,2}|`{1,3}|\\)_{0,2}|_{1,2}(?=[.-])|(?<=[.-])_{1,2})[A-Za-z0-9._-]"
)
_MARK = re.compile(r"(?<!\*)\*{1,2}(?!\*)|~{1,2}|`{1,3}|(?<![A-Za-z0-9])__?+|__?+(?![A-Za-z0-9*~`])|\\")
_SPACE = re.compile(r"\s")
_MOST_OF_A_WORD = 1000

_BREAK = re.compile(
    rf"(?<!{_IN_WORDS}){_IN_WORDS}{{4,}}+(?P<break>[ \t]{{0,20}}\r?\n[ \t>]{{0,20}})"
    r"(?P<next>(?=[A-Za-z_+/=%.-]{0,1000}+\d)[A-Za-z0-9_+/=%.-]++)"
)


def unmarked(copy: Copy) -> Copy | None:
    """The words that have marks in them, without these; None if there are none."""
    text = copy.text
    if not _COULD_MARK.search(text):
        return None
    words = list[tuple[int, int]]()
    for inner in _INNER.finditer(text):
        if words and inner.start() < words[-1][1]:
            continue
        start = max(0, inner.start() - _MOST_OF_A_WORD, words[-1][1] if words else 0)
        start += len(text[start : inner.start()]) - len(_last_word(text[start : inner.start()]))
        space = _SPACE.search(text, inner.end(), inner.end() + _MOST_OF_A_WORD)
        words.append((start, space.start() if space else min(len(text), inner.end() + _MOST_OF_A_WORD)))
    marks = [match.span() for start, end in words for match in _MARK.finditer(text, start, end)]
    return _only(copy, words, marks)


def _last_word(text: str) -> str:
    for at in range(len(text) - 1, -1, -1):
        if text[at].isspace():
            return text[at + 1 :]
    return text


def unbroken(copy: Copy) -> tuple[Copy, list[int]] | None:
    """The words that continue in the next line, and the place where each does; None if there are none."""
    if "\n" not in copy.text:
        return None
    words, breaks, at = list[tuple[int, int]](), list[tuple[int, int]](), 0
    while match := _BREAK.search(copy.text, at):
        words.append((match.start(), match.end()))
        breaks.append(match.span("break"))
        at = match.start("next")
    inner = _only(copy, words, breaks)
    if inner is None:
        return None
    behind = {end for _, end in breaks}
    return inner, [
        start
        for start, (first, _, same) in zip(inner.starts, inner.spans, strict=True)
        if same and first in behind
    ]


_TAG = re.compile(
    r"</?(?:a|b|br|code|div|em|font|i|li|mark|p|pre|s|span|strong|sub|sup|table|tbody|td|th|tr|tt|u|ul)\b[^<>]{0,500}>",
    re.IGNORECASE,
)


def untagged(copy: Copy) -> Copy | None:
    """The copy without HTML's tags, which Slack puts into the preview of a file; None if it has none."""
    found = [tag.span() for tag in _TAG.finditer(copy.text)] if "</" in copy.text else []
    return with_meanings(copy, found, lambda _: "") if found else None


_LINKS = re.compile(
    r"(?<=[a-z]\s)(?:<[a-z]{2,10}:[^<>\n]{1,2000}>|https?://[^\s<>|\"'`,;]{1,2000}(?<![.:!?)]))",
    re.IGNORECASE,
)
_EMOJI = re.compile(r"(?<![\w:])(?::[\w+-]{1,40}:){1,8}(?![\w:])")
_MARKED = re.compile(r"(?<=[a-z]\s)(?P<open>[*~`]{1,3}|_)[\w.@/-]{1,40}?(?P<close>(?P=open))(?![\w*~`])")
_COULD_INTERRUPT = re.compile(r"://|<mailto|:[\w+-]{1,40}:|[*~`]|\b_")


def plainly_said(copy: Copy) -> Copy | None:
    """The copy with a plain word for each link, without emoji and without marks around a word.

    They may stand between the name of a secret and the secret. None if there are none.
    """
    text = copy.text
    if not _COULD_INTERRUPT.search(text):
        return None
    links = {link.span() for link in _LINKS.finditer(text)}
    marks = [mark.span(part) for mark in _MARKED.finditer(text) for part in ("open", "close")]
    others = [*marks, *(emoji.span() for emoji in _EMOJI.finditer(text))]
    found, at = list[tuple[int, int]](), 0
    for start, end in sorted((*links, *others)):
        if start >= at:
            found.append((start, end))
            at = end
    return with_meanings(copy, found, lambda span: "x" if span in links else "") if found else None


def _only(copy: Copy, words: Iterable[tuple[int, int]], left_out: list[tuple[int, int]]) -> Copy | None:
    """The copy with nothing but these words, without what is left out of them; None if there are none."""
    if not left_out:
        return None
    found, at = list(left_out), 0
    for start, end in words:
        if start > at:
            found.append((at, start))
        at = max(at, end)
    if at < len(copy.text):
        found.append((at, len(copy.text)))
    within = set(left_out)
    return with_meanings(copy, sorted(found), lambda span: "" if span in within else "\n")

"""The difference between two versions of a JSON file, without values that may be secrets."""

import difflib
import re
from collections.abc import Sequence

from abe_redis.mcp.install.jsonc import BLOCK_COMMENT, BREAK, LINE_COMMENT, STRING, Document
from abe_redis.sanitize.untrusted import clean

_TOKENS = re.compile(
    rf"(?P<name>{STRING}(?=\s*:))"
    rf"|(?P<line>{LINE_COMMENT})|(?P<block>{BLOCK_COMMENT})"
    r'|(?P<option>"(?:--[a-z-]+|-[a-z]|mcp)")'
    rf"|{STRING}|-?\d[\w.+-]*",
    re.DOTALL,
)


def masked(document: Document, shown: Sequence[Sequence[str]]) -> str:
    """The text with its names and the values under the shown paths; other values and comments become ***."""
    found = [(path, document.find(path)) for path in shown]
    spans = [(members[-1].start, members[-1].end) for path, members in found if len(members) == len(path)]

    def mask(token: re.Match[str]) -> str:
        if token["name"] or token["option"] or any(start <= token.start() < end for start, end in spans):
            return token[0]
        return "// ***" if token["line"] else "/* *** */" if token["block"] else '"***"'

    return _TOKENS.sub(mask, document.text)


def difference(name: str, before: str, after: str) -> str:
    """The difference line by line, with invisible characters made visible."""
    lines = difflib.unified_diff(_lines(before), _lines(after), name, name, lineterm="")
    return "\n".join(clean(line) for line in lines)


def _lines(text: str) -> list[str]:
    lines = BREAK.split(text)
    return lines[:-1] if lines[-1] == "" else lines

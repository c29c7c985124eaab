"""The difference between two versions of a JSON file, without values that may be secrets."""

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence

from abe_redis.mcp.install.jsonc import BLOCK_COMMENT, BREAK, LINE_COMMENT, STRING, Document
from abe_redis.sanitize.untrusted import clean

_TOKENS = re.compile(
    rf"(?P<name>{STRING}(?=\s*:))"
    rf"|(?P<line>{LINE_COMMENT})|(?P<block>{BLOCK_COMMENT})"
    r'|(?P<option>"(?:--[a-z-]+|-[a-zA-Z]|mcp|abe_redis)")'
    rf"|{STRING}|-?\d[\w.+-]*",
    re.DOTALL,
)


def masked(document: Document, shown: Mapping[Sequence[str], Collection[str] | None]) -> str:
    """The text with its names, and what may be shown of its values; the others and comments become ***.

    Args:
        document: The text.
        shown: Per path whose value may be shown, those of its strings to show, or None for all.
    """
    found = [(document.find(path), path, words) for path, words in shown.items()]
    spans = [
        (members[-1].start, members[-1].end, words)
        for members, path, words in found
        if len(members) == len(path)
    ]

    def mask(token: re.Match[str]) -> str:
        if token["name"] or token["option"]:
            return token[0]
        for start, end, words in spans:
            if start <= token.start() < end and (words is None or json.loads(token[0]) in words):
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

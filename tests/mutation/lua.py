"""Faults in Lua. It is read as words, not as a syntax tree: what no server accepts is killed at once."""

import re
from collections.abc import Iterator

from tests.mutation.edits import Edit, edit, numbers

_OTHERS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("~=",),
    "~=": ("==",),
    "and": ("or",),
    "or": ("and",),
    "not": ("",),
    "true": ("false",),
    "false": ("true",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    "math.min": ("math.max",),
    "math.max": ("math.min",),
    "'('": ("''",),
    "'(' ..": ("",),
    ", 'JUSTID'": ("",),
}
_WORD = re.compile(
    r"""--[^\n]*|,[ ]'JUSTID'|'\('[ ]\.\.
    |'[^'\n]*'|\[\d+\]|\d+(?:\.\d+)?|math\.(?:min|max)|[A-Za-z_][\w.]*|[<>=~]=|\.\.|[-+*/<>]""",
    re.VERBOSE,
)
_BLOCK = re.compile(r"^(?:local\s+)?function\b|^(?:for|while|if|elseif|else|end|until|repeat)\b")


def edits(owner: str, source: str, start: int, end: int) -> Iterator[Edit]:
    """Changes of the script between two places of a file."""
    for match in _WORD.finditer(source, start, end):
        for new in _others(match[0]):
            yield edit(owner, source, match.start(), match.end(), new)
    yield from _without(owner, source, start, end)


def _others(word: str) -> tuple[str, ...]:
    if word[0] == "[":
        return (f"[{int(word[1:-1]) + 1}]",)
    if word.isdigit():
        return numbers(int(word))
    return _OTHERS.get(word, ())


def _without(owner: str, source: str, start: int, end: int) -> Iterator[Edit]:
    """Each statement taken out that stands on lines of its own, or is a whole `if … end`."""
    at, end = start, source.rfind("\n", start, end)  # behind the last line
    while at < end:
        stop = source.find("\n", at, end + 1)
        statement = source[at:stop]
        while stop < end and _is_open(statement):
            stop = source.find("\n", stop + 1, end + 1)
            statement = source[at:stop]
        bare = statement.strip()
        whole = bare.startswith("if ") and bare.endswith(" end")
        if bare and not bare.startswith(("--", "local ")) and (whole or not _BLOCK.match(bare)):
            indent = len(statement) - len(statement.lstrip())
            yield edit(owner, source, at + indent, stop, "")
        at = stop + 1


def _is_open(text: str) -> bool:
    bare = re.sub(r"'[^'\n]*'|--[^\n]*", "", text)
    return sum(map(bare.count, "({[")) > sum(map(bare.count, ")}]"))

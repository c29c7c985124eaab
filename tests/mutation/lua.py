"""Faults in Lua. It is read as words, not as a syntax tree: what no server accepts is killed at once."""

import re
from collections.abc import Iterator

from tests.mutation.edits import Edit, edit, numbers

OWNER = "–"
"""A script is short, and all of it is one owner."""

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


def edits(source: str) -> Iterator[Edit]:
    """Changes of a script, or of a piece that scripts include."""
    for match in _WORD.finditer(source):
        for new in _others(match[0]):
            yield edit(OWNER, source, match.start(), match.end(), new)
    yield from _without(source)


def own_part(source: str) -> str:
    """The part of a script that stands in it as it is when it is sent: what follows the last include."""
    return re.split(r"-- include: \w+\n", source)[-1]


def _others(word: str) -> tuple[str, ...]:
    if word[0] == "[":
        return (f"[{int(word[1:-1]) + 1}]",)
    if word.isdigit():
        return numbers(int(word))
    return _OTHERS.get(word, ())


def _without(source: str) -> Iterator[Edit]:
    """Each statement taken out that stands on lines of its own, or is a whole `if … end`."""
    at, end = 0, len(source.rstrip("\n"))  # behind the last line
    while at < end:
        stop = source.find("\n", at)
        statement = source[at:stop]
        while stop < end and _is_open(statement):
            stop = source.find("\n", stop + 1)
            statement = source[at:stop]
        bare = statement.strip()
        whole = bare.startswith("if ") and bare.endswith(" end")
        if bare and not bare.startswith(("--", "local ")) and (whole or not _BLOCK.match(bare)):
            indent = len(statement) - len(statement.lstrip())
            yield edit(OWNER, source, at + indent, stop, "")
        at = stop + 1


def _is_open(text: str) -> bool:
    bare = re.sub(r"'[^'\n]*'|--[^\n]*", "", text)
    return sum(map(bare.count, "({[")) > sum(map(bare.count, ")}]"))

"""Sets or removes a value in the text of a JSON document, in its style; every other byte stays."""

import json
import re
from collections.abc import Sequence

from abe_redis.mcp.install.jsonc import BREAK, Document, JsonMember


def put(document: Document, path: Sequence[str], value: object) -> Document:
    """The document with a value at this path of names; missing objects are created.

    Raises:
        JsoncError: A name on the path appears twice, or its value is no object.
    """
    found = document.find(path)
    if len(found) < len(path):
        key, *missing = path[len(found) :]
        for name in reversed(missing):
            value = {name: value}
        return _insert(document, found[-1].start if found else document.root, key, value)
    old = found[-1]
    if old.value == value:
        return document
    style = _Style(document)
    wide = BREAK.search(document.plain, old.start, old.end)
    new = style.written(value, style.indent(old.key_start) if wide else None)
    return Document(document.text[: old.start] + new + document.text[old.end :])


def cut(document: Document, path: Sequence[str]) -> Document:
    """The document without the member at this path of names; comments beside it stay.

    Raises:
        JsoncError: A name on the path appears twice, or its value is no object.
    """
    found = document.find(path)
    if len(found) < len(path):
        return document
    start = found[-2].start if len(found) > 1 else document.root
    members = list(document.members(start))
    at, old = members.index(found[-1]), found[-1]
    beyond = members[at + 1].key_start if at + 1 < len(members) else document.close(start)
    text, comma = document.text, document.uncommented.find(",", old.end, beyond)
    if comma >= 0:
        text = text[:comma] + text[comma + 1 :]
    before = document.uncommented.find(",", members[at - 1].end, old.key_start) if at and comma < 0 else -1
    line = max(text.rfind("\n", 0, old.key_start), text.rfind("\r", 0, old.key_start)) + 1
    after = BREAK.search(text, old.end)
    if after and not (text[line : old.key_start] + text[old.end : after.start()]).strip():
        text, blank = text[:line] + text[after.end() :], ""
    else:
        text, blank = text[: old.key_start] + text[old.end :].lstrip(" "), " "
    if before >= 0:
        text = text[:before] + text[before + 1 :].removeprefix(blank)
    return Document(text)


def _insert(document: Document, start: int, key: str, value: object) -> Document:
    """Add a last member to the object that starts there."""
    style, text = _Style(document), document.text
    members = list(document.members(start))
    close = document.close(start)
    end = members[-1].end if members else start + 1
    comma = document.uncommented.find(",", end, close)
    # After the last member's line, so that a comment on it stays with that member.
    breaks = list(BREAK.finditer(document.plain, max(end, comma), close))
    at = breaks[0 if members else -1].start() if breaks else len(text[:close].rstrip())
    indent = style.indent_within(start, close, members)
    new = style.written(key, None) + style.colon + style.written(value, indent)
    if indent is not None:
        new = document.newline + indent + new
    elif members:
        new = style.gap + new
    if comma >= 0:
        new += ","
    if indent is not None and not members and not breaks:
        new += document.newline + style.indent(start)
    separator = "," if members and comma < 0 else ""
    return Document(text[:end] + separator + text[end:at] + new + text[at:])


class _Style:
    """How a document is written."""

    def __init__(self, document: Document) -> None:
        self._document = document
        first = next(document.members(document.root), None)
        close = first and document.plain[first.key_end : first.start] == ":"
        self.colon, self.gap = (":", "") if close else (": ", " ")
        self.unit = "  "
        if first and self._begins_line(first):
            self.unit = self.indent(first.key_start).removeprefix(self.indent(document.root)) or self.unit
        whole = document.plain.rstrip()
        self._wide = first is None or bool(BREAK.search(whole, document.root))

    def indent(self, at: int) -> str:
        """The indentation of the line that has this position."""
        line = self._document.text[self._line(at) : at]
        return line[: len(line) - len(line.lstrip())]

    def indent_within(self, start: int, close: int, members: list[JsonMember]) -> str | None:
        """The indentation of a member's line; None when the object is on one line."""
        if members and self._begins_line(members[-1]):
            return self.indent(members[-1].key_start)
        wide = BREAK.search(self._document.plain, start, close) if members else self._wide
        return self.indent(start) + self.unit if wide else None

    def written(self, value: object, indent: str | None) -> str:
        """The value as JSON, over lines with this indentation, or on one line."""
        separators = ("," if indent is not None else f",{self.gap}", self.colon)
        unit = None if indent is None else self.unit
        text = json.dumps(value, indent=unit, separators=separators, ensure_ascii=False)
        text = re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)
        return text.replace("\n", f"{self._document.newline}{indent}")

    def _line(self, at: int) -> int:
        plain = self._document.plain
        return max(plain.rfind("\n", 0, at), plain.rfind("\r", 0, at)) + 1

    def _begins_line(self, member: JsonMember) -> bool:
        line = self._line(member.key_start)
        return line > 0 and not self._document.text[line : member.key_start].strip()

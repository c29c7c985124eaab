"""Finds secrets in texts that people read together but a payload keeps apart: elements, fields, columns.

Slack's client makes an element of its own of each part that is code, bold or a link, and Block Kit has names
and values in fields, cells and blocks beside each other. So the texts of a payload are joined as people read
them. Secrets are searched in the result, and the findings are mapped back to each text.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from abe_redis.sanitize.secret_names import looks_secret
from abe_redis.sanitize.secrets import is_about_secret, is_secret, spans

type Spans = dict[tuple[int, str], list[tuple[int, int]]]
"""Per object, by its `id`, and name of a text in it: what of the text is a secret."""

_TEXTS = (
    *("command", "pretext", "author_name", "name", "key", "field", "title", "label"),
    *("text", "content", "value", "preview", "fallback", "footer"),
)
"""Names of texts in the order in which they are read."""
_LINES = {
    "rich_text_section": ("", "\n"),
    "rich_text_preformatted": ("```\n", "\n```\n"),
    "rich_text_quote": (">", "\n"),
}
_OPENED = {"user": "<@U>", "usergroup": "<@S>", "channel": "<#C>", "broadcast": "<!here>"}
_CELLS = 2
"""Fields that stand beside each other in a section."""
_MOST_OF_A_LABEL = 120


@dataclass(slots=True)
class _Page:
    """Texts as they are read."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    starts: list[int] = field(default_factory=list)
    texts: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    """Per text: the object that holds it, and its name there."""

    def write(self, text: str) -> None:
        """Add what is between texts."""
        self.parts.append(text)
        self.length += len(text)

    def add(self, holder: dict[str, Any], name: str) -> None:
        """Add a text."""
        self.starts.append(self.length)
        self.texts.append((holder, name))
        self.write(holder[name])

    def note(self, found: Spans) -> None:
        """Map the secrets of the page back to its texts."""
        if len(self.texts) < 2:  # noqa: PLR2004 - one text has nothing beside it
            return
        for start, end in spans("".join(self.parts)):
            at = max(0, bisect_right(self.starts, start) - 1)
            while at < len(self.starts) and self.starts[at] < end:
                holder, name = self.texts[at]
                first, behind = start - self.starts[at], end - self.starts[at]
                first, behind = max(0, first), min(len(holder[name]), behind)
                if first < behind:
                    found.setdefault((id(holder), name), []).append((first, behind))
                at += 1


def secrets_of(value: Any) -> tuple[Spans, frozenset[str]]:  # noqa: ANN401 - any JSON
    """The secrets of a payload that neighbouring texts reveal, and the ids of inputs that ask for one."""
    reader = _Reader()
    reader.read(value)
    reader.page.note(reader.found)
    return reader.found, frozenset(reader.asked)


class _Reader:
    def __init__(self) -> None:
        self.found: Spans = {}
        self.asked = set[str]()
        self.page = _Page()

    def read(self, value: Any) -> None:  # noqa: ANN401 - any JSON
        if isinstance(value, list):
            for item in value:
                self.read(item)
        elif isinstance(value, dict):
            self._object(value)

    def _object(self, value: dict[str, Any]) -> None:
        page, kind = self.page, value.get("type")
        if kind == "input":
            self._note_asked(value)
        if isinstance(elements := value.get("elements"), list) and _is_rich(kind):
            before, behind = _LINES[str(kind)]
            page.write(before)
            for element in elements:
                self._element(element)
            page.write(behind)
            return
        for name in _TEXTS:
            if name in value:
                self._text(value, name)
        for name, item in value.items():
            if name not in _TEXTS:
                self.read(item)
            if name in {"fields", "rows"} and isinstance(item, list):
                self._columns(item, is_table=name == "rows")

    def _text(self, value: dict[str, Any], name: str) -> None:
        if isinstance(value[name], str):
            self.page.add(value, name)
            self.page.write("\n")
        else:
            self.read(value[name])

    def _element(self, element: Any) -> None:  # noqa: ANN401 - any JSON
        """An element of a rich text, as it stands in a line."""
        page = self.page
        kind = element.get("type") if isinstance(element, dict) else None
        if kind == "text" and isinstance(element.get("text"), str):
            style = element.get("style")
            mark = "`" if isinstance(style, dict) and style.get("code") else ""
            page.write(mark)
            page.add(element, "text")
            page.write(mark)
        elif kind == "link" and isinstance(element.get("url"), str):
            page.write("<")
            page.add(element, "url")
            if isinstance(element.get("text"), str):
                page.write("|")
                page.add(element, "text")
            page.write(">")
        elif kind == "emoji":
            page.write(f":{element.get('name')}:")
        elif (mention := _OPENED.get(str(kind))) is not None:
            page.write(mention)
        else:
            self.read(element)

    def _columns(self, rows: list[Any], *, is_table: bool) -> None:
        """The columns of a table, or of a section's fields, each as a page of its own."""
        table = rows if is_table else [rows[at : at + _CELLS] for at in range(0, len(rows), _CELLS)]
        lines = [list(map(_cell, row)) for row in table if isinstance(row, list)]
        for at in range(max(map(len, lines), default=0)):
            column = [line[at] for line in lines if at < len(line)]
            head = next(iter(column), None)
            if head is None or not is_secret(head["text"][:_MOST_OF_A_LABEL].strip(" :*_~`")):
                continue
            for cell in filter(None, column[1:]):
                if is_table or looks_secret(cell["text"].strip("*_~`")):
                    self.found.setdefault((id(cell), "text"), []).append((0, len(cell["text"])))

    def _note_asked(self, block: dict[str, Any]) -> None:
        """Note the ids under which the answer to an input comes, if the input asks for a secret."""
        element = block.get("element")
        element = element if isinstance(element, dict) else {}
        if asks_for_secret(block) or asks_for_secret(element):
            ids = block.get("block_id"), element.get("action_id")
            self.asked.update(one for one in ids if isinstance(one, str))


def _is_rich(kind: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(kind, str) and kind in _LINES


_DEEPEST_OF_A_CELL = 5


def _cell(cell: Any, depth: int = 0) -> dict[str, Any] | None:  # noqa: ANN401 - any JSON
    """The object that holds a cell's text."""
    if isinstance(cell, dict) and isinstance(cell.get("text"), str):
        return cell
    inner = cell.values() if isinstance(cell, dict) else cell if isinstance(cell, list) else ()
    if depth < _DEEPEST_OF_A_CELL:
        for one in inner:
            if (found := _cell(one, depth + 1)) is not None:
                return found
    return None


_LABELS = ("label", "placeholder")
_IDS = ("block_id", "action_id")


def asks_for_secret(value: dict[str, Any]) -> bool:
    """Whether an input's label, its placeholder or one of its ids names a secret."""
    for name in (*_LABELS, *_IDS):
        said = value.get(name)
        said = said.get("text") if isinstance(said, dict) else said
        if isinstance(said, str) and said and is_about_secret(said):
            return True
    return False

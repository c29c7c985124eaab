"""Sequence diagrams from text, as SVG without a script: the part of Mermaid's notation that we use.

participant R as Redis
W->>R: what is said
W--xR: what does not arrive
Note over W,R: what happens meanwhile
"""

import re
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

_PARTICIPANT = re.compile(r"participant (\w+)(?: as (.+))?$")
_MESSAGE = re.compile(r"(\w+)(-->>|->>|--x|-x)(\w+): ?(.+)$")
_NOTE = re.compile(r"Note over (\w+)(?:,(\w+))?: ?(.+)$")

_WIDTH = 366
"""Fits a telephone of 400 pixels; `site.css` enlarges it on wider screens."""
_MARGIN = 42
_TOP, _STEP, _LINE = 56, 24, 16
_CHAR = 7
"""About how wide a character is."""
_COLUMNS = 30
"""Characters of a line, before the words of a message are wrapped."""


@dataclass
class Drawing:
    """A diagram as it grows downwards."""

    lanes: dict[str, str] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    y: float = _TOP

    def x(self, lane: str) -> float:
        """Where a lane is."""
        gaps = max(1, len(self.lanes) - 1)
        return _MARGIN + [*self.lanes].index(lane) * (_WIDTH - 2 * _MARGIN) / gaps

    def message(self, source: str, kind: str, target: str, words: str) -> None:
        """An arrow from lane to lane, or one that ends in a cross."""
        start, end = self.x(source), self.x(target)
        if source == target:
            self.y += _STEP
            self.text(start, f"\N{ANTICLOCKWISE OPEN CIRCLE ARROW} {words}")
            self.y += _STEP - _LINE
            return
        self.y += _STEP - _LINE / 2
        self.text((start + end) / 2, words)
        self.y += _LINE / 2
        way = 1 if end > start else -1
        lost = kind.endswith("x")
        stop = (start + end) / 2 + way * 30 if lost else end - way * 8
        style = "arrow lost" if lost or kind.startswith("--") else "arrow"
        self.parts.append(f'<path class="{style}" d="M{start:g} {self.y:g}H{stop:g}"/>')
        if lost:
            at = f"M{stop - 6:g} {self.y - 6:g}l12 12M{stop - 6:g} {self.y + 6:g}l12 -12"
            self.parts.append(f'<path class="cross" d="{at}"/>')
        else:
            head = f"M{end:g} {self.y:g}l{-way * 10} -5v10z"
            self.parts.append(f'<path class="head" d="{head}"/>')

    def note(self, first: str, last: str, words: str) -> None:
        """Words in a box over one lane or several."""
        self.y += _STEP + _LINE / 2
        left, right = sorted((self.x(first), self.x(last)))
        width = max(right - left + 40, len(words) * _CHAR + 16)
        middle = self.within((left + right) / 2, width)
        box = f'x="{middle - width / 2:g}" y="{self.y - 18:g}" width="{width:g}" height="26"'
        self.parts.append(f'<rect class="note" rx="4" {box}/>')
        self.text(middle, words)
        self.y += _LINE / 2

    def text(self, middle: float, words: str) -> None:
        """Words around a place, in as many lines as they need, within the drawing."""
        for number, line in enumerate(wrap(words, _COLUMNS)):
            self.y += _LINE if number else 0
            x = self.within(middle, len(line) * _CHAR)
            self.parts.append(f'<text x="{x:g}" y="{self.y:g}" text-anchor="middle">{escape(line)}</text>')

    @staticmethod
    def within(middle: float, width: float) -> float:
        """The middle nearest to this one at which something does not leave the drawing."""
        return max(width / 2 + 2, min(middle, _WIDTH - width / 2 - 2))

    def svg(self, title: str) -> str:
        """All of it."""
        height = self.y + 24
        lanes = []
        for name, words in self.lanes.items():
            x = self.x(name)
            box = len(words) * _CHAR + 20
            lanes += [
                f'<path class="lane" d="M{x:g} 36V{height:g}"/>',
                f'<rect class="actor" rx="4" x="{x - box / 2:g}" y="8" width="{box}" height="28"/>',
                f'<text x="{x:g}" y="27" text-anchor="middle">{escape(words)}</text>',
            ]
        shapes = "".join(lanes + self.parts)
        return (
            f'<div class="sequence"><svg viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" role="img">'
            f"<title>{escape(title)}</title>{shapes}</svg></div>"
        )


class Sequence(Directive):
    """The directive: its first line is `sequenceDiagram`."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The drawing, and its text for those who do not see it."""
        first, *lines = [line.strip() for line in self.content if line.strip()]
        if first != "sequenceDiagram":
            raise self.error(f"Only a sequenceDiagram can be drawn, not {first!r}.")
        drawing = Drawing()
        for line in lines:
            if found := _PARTICIPANT.match(line):
                drawing.lanes[found[1]] = found[2] or found[1]
            elif found := _MESSAGE.match(line):
                drawing.message(*found.groups())
            elif found := _NOTE.match(line):
                drawing.note(found[1], found[2] or found[1], found[3])
            else:
                raise self.error(f"This line is not understood: {line!r}.")
        title = "; ".join(line for line in lines if not line.startswith("participant"))
        return [nodes.raw("", drawing.svg(title), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("mermaid", Sequence)
    return {"parallel_read_safe": True}

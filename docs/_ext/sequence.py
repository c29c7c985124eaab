"""Sequence diagrams from text, as SVG without a script: the part of Mermaid's notation that we use.

participant R as Redis
W->>R: what is said
W--xR: what does not arrive
Note over W,R: what happens meanwhile
"""

import re
from dataclasses import dataclass, field
from html import escape

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

_PARTICIPANT = re.compile(r"participant (\w+)(?: as (.+))?$")
_MESSAGE = re.compile(r"(\w+)(-->>|->>|--x|-x)(\w+): ?(.+)$")
_NOTE = re.compile(r"Note over (\w+)(?:,(\w+))?: ?(.+)$")

_LANE, _STEP, _TOP, _MARGIN = 170, 46, 56, 90
_CHAR = 7.4
"""About how wide a character is."""


@dataclass
class Drawing:
    """A diagram as it grows downwards."""

    lanes: dict[str, str] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    y: float = _TOP

    def x(self, lane: str) -> float:
        """Where a lane is."""
        return _MARGIN + [*self.lanes].index(lane) * _LANE

    def message(self, source: str, kind: str, target: str, words: str) -> None:
        """An arrow from lane to lane, or one that ends in a cross."""
        self.y += _STEP
        start, end = self.x(source), self.x(target)
        if source == target:
            self.parts.append(f'<text x="{start + 12}" y="{self.y}">↻ {escape(words)}</text>')
            return
        way = 1 if end > start else -1
        lost = kind.endswith("x")
        stop = (start + end) / 2 + way * 30 if lost else end - way * 8
        look = "arrow lost" if lost or kind.startswith("--") else "arrow"
        self.parts.append(f'<path class="{look}" d="M{start} {self.y}H{stop}"/>')
        if lost:
            at = f"M{stop - 6} {self.y - 6}l12 12M{stop - 6} {self.y + 6}l12 -12"
            self.parts.append(f'<path class="cross" d="{at}"/>')
        else:
            head = f"M{end} {self.y}l{-way * 10} -5v10z"
            self.parts.append(f'<path class="head" d="{head}"/>')
        middle = (start + end) / 2
        self.parts.append(f'<text x="{middle}" y="{self.y - 8}" text-anchor="middle">{escape(words)}</text>')

    def note(self, first: str, last: str, words: str) -> None:
        """Words in a box over one lane or several."""
        self.y += _STEP
        left, right = sorted((self.x(first), self.x(last)))
        width = max(right - left + 60, len(words) * _CHAR + 20)
        x = max(2, (left + right - width) / 2)
        box = f'x="{x}" y="{self.y - 20}" width="{width}" height="30"'
        self.parts.append(f'<rect class="note" rx="4" {box}/>')
        self.parts.append(
            f'<text x="{x + width / 2}" y="{self.y}" text-anchor="middle">{escape(words)}</text>'
        )

    def svg(self, title: str) -> str:
        """All of it."""
        width, height = _MARGIN * 2 + (len(self.lanes) - 1) * _LANE, self.y + 30
        lanes = []
        for name, words in self.lanes.items():
            x = self.x(name)
            box = len(words) * _CHAR + 24
            lanes += [
                f'<path class="lane" d="M{x} 40V{height}"/>',
                f'<rect class="actor" rx="4" x="{x - box / 2}" y="10" width="{box}" height="30"/>',
                f'<text x="{x}" y="30" text-anchor="middle">{escape(words)}</text>',
            ]
        shapes = "".join(lanes + self.parts)
        return (
            f'<div class="sequence"><svg viewBox="0 0 {width} {height}" width="{width}" role="img">'
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

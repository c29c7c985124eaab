"""A table of names and their figures: as wide as what is in it, and never wider than the terminal."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_GAP = 2
"""Columns of the terminal between two of the table."""
_LEAST_NAME = 12
"""Columns that the names get at least beside figures that may be left out."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A column of figures."""

    heading: str
    cells: Sequence[str]
    """One for each row."""
    rank: int = 0
    """0: always there. 1 and 2: left out in a narrow terminal, 2 first. From 3 on: left out when a name would
    be cut for it, the highest first."""
    left: bool = False
    """Whether they stand left, as words do."""

    @property
    def width(self) -> int:
        """Columns of the terminal that show the heading and each cell whole."""
        return max(cell_len(self.heading), *map(cell_len, self.cells))


_WHOLE_NAMES = 3
"""Rank from which figures give way to whole names."""


def fitting(names: Sequence[str], columns: Sequence[Figures], width: int) -> tuple[int, list[Figures]]:
    """The columns of the terminal for the names, and the figures that fit beside them.

    One very long name does not push out the figures: whole are at least those that half the terminal holds.
    """
    longest = max(map(cell_len, names))
    kept = list(columns)
    for rank in sorted({one.rank for one in columns if one.rank}, reverse=True):
        wanted = min(longest, width // 2 if rank >= _WHOLE_NAMES else _LEAST_NAME)
        if _room(kept, width) < wanted:
            kept = [one for one in kept if one.rank != rank]
    return min(longest, max(1, _room(kept, width))), kept


def _room(columns: Iterable[Figures], width: int) -> int:
    return width - sum(one.width + _GAP for one in columns)


def table(
    heading: str,
    names: Sequence[str],
    columns: Sequence[Figures],
    *,
    width: int,
    rows: range | None = None,
    styles: Mapping[tuple[str, int], str] | None = None,
    marked: Callable[[int], bool] = lambda _: False,
) -> Table:
    """The table.

    Args:
        heading: Of the names.
        names: One for each row.
        columns: The figures beside them.
        width: Columns of the terminal.
        rows: The rows to draw; by default all. The others count for the widths, which then stay.
        styles: Colours of figures, by heading and row.
        marked: Whether a row is drawn reversed.
    """
    room, kept = fitting([heading, *names], columns, width)
    drawn = Table(box=None, pad_edge=False, padding=(0, _GAP // 2))
    drawn.add_column(heading, no_wrap=True, width=room)
    for one in kept:
        drawn.add_column(
            one.heading, justify="left" if one.left else "right", no_wrap=True, min_width=one.width
        )
    for row in range(len(names)) if rows is None else rows:
        figures = [Text(one.cells[row], (styles or {}).get((one.heading, row), "")) for one in kept]
        drawn.add_row(Text(shortened(names[row], room)), *figures, style="reverse" if marked(row) else "")
    return drawn


def shortened(name: str, width: int) -> str:
    """A name in at most `width` columns; its end stays, which tells partitions from each other."""
    if cell_len(name) <= width:
        return name
    tail = Text(name[::-1])
    tail.truncate((width - 1) // 3, overflow="crop")
    end = tail.plain[::-1]
    begin = Text(name)
    begin.truncate(width - 1 - cell_len(end), overflow="crop")
    return f"{begin.plain}…{end}"

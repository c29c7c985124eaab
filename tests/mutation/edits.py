"""A change of a text, and how it is told."""

from typing import NamedTuple

_WIDTH = 60


class Edit(NamedTuple):
    """One change of a file."""

    owner: str
    """The function or constant; of a script, the whole."""
    start: int
    end: int
    new: str
    change: str
    """What is said about it; the same as long as its line is the same."""


def edit(owner: str, source: str, start: int, end: int, new: str) -> Edit:
    """Put something else there, or nothing."""
    old = source[start:end]
    first = source.rfind("\n", 0, start) + 1
    line_end = source.find("\n", start)
    line = source[first : line_end if line_end >= 0 else len(source)]
    if old.strip().startswith(line.strip()) and new in {"", "pass", "return None"}:  # the whole of it
        return Edit(owner, start, end, new, f"without `{_short(old)}`")
    window = _around(line, start - first)
    what = f"`{_short(old)}` → `{_short(new)}`" if new.strip() else f"without `{_short(old)}`"
    return Edit(owner, start, end, new, f"{what} in `{window}`")


def numbers(value: float) -> tuple[str, ...]:
    """What is put in the place of a number: its neighbours, or twice a large one."""
    if value == 0:
        return ("1",)
    return (repr(2 * value),) if value >= 10 else (repr(value + 1), repr(value - 1))


def _around(line: str, at: int) -> str:
    """A line, or whole words of a long one."""
    if len(line.strip()) <= 2 * _WIDTH:
        return line.strip()
    begin = line.find(" ", max(0, at - _WIDTH)) + 1 if at > _WIDTH else 0
    end = line.rfind(" ", at, at + _WIDTH) if len(line) > at + _WIDTH else len(line)
    words = line[begin : end if end > at else at + _WIDTH].strip()
    return f"{'… ' if begin else ''}{words}{' …' if end < len(line) else ''}"


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _WIDTH else f"{words[: _WIDTH - 1]}…"

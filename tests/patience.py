"""How long tests wait: for a condition, never for a time in which it should have come true.

A file that another process writes is there before its content is, and its last line may be half a line.
"""

from pathlib import Path

PATIENCE = 120.0
"""Seconds for what takes a few on an idle machine. Only a test that fails waits so long; it is far below
pytest's own limit, so that the failure says what did not happen."""


def pause(took: float) -> float:
    """Seconds until a condition is asked again, by how long asking took: others need the time, too."""
    return min(max(0.02, 2 * took), 0.3)


def whole_lines(path: Path) -> list[str]:
    """What another process has written so far, as far as its lines are whole; nothing without a file."""
    try:
        return path.read_text("utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return []

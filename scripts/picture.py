"""The picture in the README: the terminal of a real `abe-redis demo`, as SVG.

.venv/bin/python scripts/picture.py docs/_static/demo.svg
"""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 84
COLOURED = {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "0", "TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
"""What makes Rich write colours, but no progress bar that moves, into a pipe."""


def demo() -> str:
    """Run the demo.

    Returns:
        What it printed, with its colours.
    """
    program = Path(sys.executable).with_name("abe-redis")
    environment = os.environ | COLOURED | {"PYTHONUTF8": "1"}
    done = subprocess.run(  # noqa: S603 - our own program
        [program, "demo"], env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return done.stdout


def svg(printed: str) -> str:
    """Draw what a terminal shows.

    Args:
        printed: Lines with ANSI codes.
    """
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(printed.strip("\n")))
    drawn = console.export_svg(title="abe-redis demo", theme=MONOKAI, unique_id="demo")
    # A picture within a page may load no font: leave out those that Rich names.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(svg(demo()), encoding="utf-8")

"""How a table of results is shown: whole also in a file or a pipe, which says nothing of its width."""

from rich.console import Console
from rich.table import Table

_COLUMNS = 120


def show(table: Table) -> None:
    """Print a table."""
    console = Console()
    if not console.is_terminal:
        console.width = _COLUMNS
    console.print(table)

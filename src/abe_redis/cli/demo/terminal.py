"""The output of the demo: plain lines, progress bars, a table. Colours only on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text


class DemoError(Exception):
    """A claim of the demo does not hold."""


class Story:
    """Prints what happens, and claims only after they are checked."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._mark = "✓" if self._console.encoding.startswith("utf") else "*"
        self._acts = 0

    def act(self, title: str) -> None:
        """Begin a new act."""
        self._acts += 1
        self._console.print()
        self._console.print(Text(f"{self._acts}. {title}", style="bold cyan"))

    def tell(self, text: str) -> None:
        """Print what the demo does."""
        self._console.print(Text(f"   {text}"))

    def check(self, claim: str, holds: bool, found: object = None) -> None:  # noqa: FBT001 - a condition
        """Print a claim that holds.

        Raises:
            DemoError: It does not hold; the message says what was found instead.
        """
        if not holds:
            raise DemoError(f"The demo claims {claim!r}, but found {found!r}.")
        self._console.print(Text.assemble((f" {self._mark} ", "bold green"), claim))

    @contextmanager
    def progress(self, *bars: str, total: int) -> Iterator[list[Callable[[int], None]]]:
        """Show progress bars; each yielded function sets one of them."""
        columns = (
            TextColumn("   {task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:

            def bar(name: str) -> Callable[[int], None]:
                task = progress.add_task(name, total=total)
                return lambda done: progress.update(task, completed=done)

            yield [bar(name) for name in bars]

    def table(self, title: str, rows: dict[str, object]) -> None:
        """Print the final table."""
        table = Table(title=title, title_justify="left", show_header=False)
        table.add_column(style="bold")
        table.add_column(justify="right")
        for name, value in rows.items():
            table.add_row(Text(name), Text(str(value)))
        self._console.print()
        self._console.print(table)

    def paste(self, text: str) -> None:
        """Print text to be copied, without wrapping or decoration."""
        self._console.print()
        self._console.print(Text(text), soft_wrap=True)

"""The state of the live view, and what each key changes in it."""

from dataclasses import dataclass, field
from datetime import datetime

from abe_redis.cli.top.columns import SORTS
from abe_redis.cli.top.rates import Rates
from abe_redis.schemas import StreamStats


@dataclass(slots=True)
class State:
    """The state of the live view."""

    where: str
    """The server, without its password."""
    every_seconds: float
    rates: Rates = field(default_factory=Rates)
    streams: list[StreamStats] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is wrong with the server."""
    at: datetime | None = None
    trouble: str = ""
    """Why nothing newer is known."""
    sort: int = 0
    reverse: bool = False
    chosen: str | None = None
    """The name of the selected stream."""
    inside: bool = False
    """Show the selected stream alone."""
    paused: bool = False

    def take(self, streams: list[StreamStats], problems: list[str], at: datetime) -> None:
        """Replace what is shown."""
        self.trouble, self.streams, self.problems, self.at = "", streams, problems, at
        self.rates.remember(streams)

    def sorted(self) -> list[StreamStats]:
        """The streams in the order of the table."""
        _, key = SORTS[self.sort]
        return sorted(self.streams, key=lambda one: (key(self.rates, one), one.stream), reverse=self.reverse)

    def current(self) -> StreamStats | None:
        """The selected stream; the first one, when that has gone."""
        streams = self.sorted()
        return next((one for one in streams if one.stream == self.chosen), streams[0] if streams else None)

    def press(self, key: str) -> None:
        """Carry out a key; ignore one without a meaning."""
        names = [one.stream for one in self.sorted()]
        current = self.current()
        at = names.index(current.stream) if current else 0
        match key:
            case "up" | "k" if not self.inside:
                at -= 1
            case "down" | "j" if not self.inside:
                at += 1
            case "page up" if not self.inside:
                at -= 10
            case "page down" if not self.inside:
                at += 10
            case "enter" | "right" | "l":
                self.inside = bool(names)
            case "esc" | "left" | "h" | "backspace":
                self.inside = False
            case "s" if not self.inside:
                self.sort = (self.sort + 1) % len(SORTS)
                return
            case "r" if not self.inside:
                self.reverse = not self.reverse
                return
            case " ":
                self.paused = not self.paused
        self.chosen = names[max(0, min(at, len(names) - 1))] if names else None

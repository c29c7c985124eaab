"""What is shown and how, as the keys have it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from abe_redis.cli.top.rates import Rates
from abe_redis.schemas import SEVERITY, StreamStats


@dataclass(slots=True)
class View:
    """The state of the live view."""

    where: str
    """The server, without its password."""
    every_seconds: float
    rates: Rates = field(default_factory=Rates)
    streams: list[StreamStats] = field(default_factory=list)
    at: datetime | None = None
    trouble: str = ""
    sort: int = 0
    reverse: bool = False
    chosen: str | None = None
    """The name of the stream that is marked."""
    inside: bool = False
    """Whether that one is shown alone."""
    paused: bool = False

    def take(self, streams: list[StreamStats], at: datetime) -> None:
        """Show these from now on."""
        self.trouble, self.streams, self.at = "", streams, at
        self.rates.remember(streams)

    def sorted(self) -> list[StreamStats]:
        """The streams in the order in which they are shown."""
        _, key = SORTS[self.sort]
        return sorted(self.streams, key=lambda one: (key(self, one), one.stream), reverse=self.reverse)

    def current(self) -> StreamStats | None:
        """The stream that is marked: the first, when that one is gone."""
        streams = self.sorted()
        return next((one for one in streams if one.stream == self.chosen), streams[0] if streams else None)

    def press(self, key: str) -> None:
        """Do what a key stands for; nothing for any other."""
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


SORTS: tuple[tuple[str, Callable[[View, StreamStats], float | str]], ...] = (
    ("health", lambda _, one: SEVERITY.index(one.health)),
    ("stream", lambda _, one: one.stream),
    ("in/s", lambda view, one: -(view.rates.added(one) or 0)),
    ("pending", lambda _, one: -pending(one)),
    ("lag", lambda _, one: -(lag(one) or 0)),
    ("oldest", lambda _, one: -(oldest(one) or 0)),
    ("dead", lambda _, one: -one.dead_letters),
    ("entries", lambda _, one: -one.length),
)
"""What streams are sorted by, the most urgent first."""


def pending(one: StreamStats) -> int:
    """Entries that its groups have given out and that are not acked."""
    return sum(group.pending for group in one.groups)


def lag(one: StreamStats) -> int | None:
    """Entries that its groups have yet to give out; None when Redis cannot tell of one."""
    lags = [group.lag for group in one.groups]
    return None if None in lags else sum(lag or 0 for lag in lags)


def oldest(one: StreamStats) -> float | None:
    """Seconds for which the oldest of both waits; None when nothing does."""
    ages = [
        age
        for group in one.groups
        for age in (group.oldest_pending_seconds, group.oldest_undelivered_seconds)
        if age is not None
    ]
    return max(ages, default=None)

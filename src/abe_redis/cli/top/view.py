"""The state of the live view, and what each key changes in it."""

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
    """The name of the selected stream."""
    inside: bool = False
    """Show the selected stream alone."""
    paused: bool = False

    def take(self, streams: list[StreamStats], at: datetime) -> None:
        """Replace the streams that are shown."""
        self.trouble, self.streams, self.at = "", streams, at
        self.rates.remember(streams)

    def sorted(self) -> list[StreamStats]:
        """The streams in the order of the table."""
        _, key = SORTS[self.sort]
        return sorted(self.streams, key=lambda one: (key(self, one), one.stream), reverse=self.reverse)

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
"""The orders of the table, each with the most urgent streams first."""


def pending(one: StreamStats) -> int:
    """Entries that its groups have delivered and not acked."""
    return sum(group.pending for group in one.groups)


def lag(one: StreamStats) -> int | None:
    """Entries that its groups have not delivered yet; None when Redis does not know the lag of one."""
    lags = [group.lag for group in one.groups]
    return None if None in lags else sum(lag or 0 for lag in lags)


def oldest(one: StreamStats) -> float | None:
    """Age in seconds of the oldest pending or undelivered entry; None when there is none."""
    ages = [
        age
        for group in one.groups
        for age in (group.oldest_pending_seconds, group.oldest_undelivered_seconds)
        if age is not None
    ]
    return max(ages, default=None)

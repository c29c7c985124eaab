"""What the rules about a stream's health judge, and what each finds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from abe_redis.schemas import GroupStats, Health, StreamStats
from abe_redis.settings import Settings

BACKLOG_SECONDS = 60
"""Age from which a waiting event makes a backlog, although consumers are alive."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts that the rules judge."""

    stats: StreamStats
    settings: Settings
    refuses_writes: bool = False
    """Whether the server takes no writes, not even a worker's. Then workers wait, and nothing shows that
    they live."""

    @property
    def paused(self) -> list[GroupStats]:
        """Paused groups."""
        return [group for group in self.stats.groups if group.paused]

    @property
    def waiting(self) -> list[GroupStats]:
        """Groups with work that are not paused, those with the most first."""
        found = [group for group in self.stats.groups if has_work(group) and not group.paused]
        return sorted(found, key=_unfinished, reverse=True)

    @property
    def stalled(self) -> list[GroupStats]:
        """Those of them without a live worker."""
        return [group for group in self.waiting if not group.workers and not self.refuses_writes]

    @property
    def behind(self) -> list[GroupStats]:
        """Those with consumers that do not keep up."""
        return [group for group in self.waiting if group not in self.stalled and _is_behind(group)]


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence or two about a group, or about the whole stream."""

    words: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The finding of a rule."""

    health: Health | None = None
    """None when the finding is no state of its own."""
    said: Sequence[Said] = ()


@dataclass(slots=True)
class About:
    """All that is said about one group, or about the whole stream."""

    group: str | None
    health: Health | None = None
    """That of the first rule that found one for it."""
    said: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """All of it."""
        return " ".join(self.said)


def gather(verdicts: Iterable[Verdict]) -> list[About]:
    """What the rules found, by whom it is about: the worst first."""
    found = dict[str | None, About]()
    for verdict in verdicts:
        for one in verdict.said:
            about = found.setdefault(one.group, About(one.group))
            about.health = about.health or verdict.health
            about.said.append(one.words)
    return [*found.values()]


def has_undelivered(group: GroupStats) -> bool:
    """Whether something is not delivered yet; after a deletion Redis does not know how much."""
    return group.oldest_undelivered_seconds is not None if group.lag is None else group.lag > 0


def has_work(group: GroupStats) -> bool:
    """Whether something is unfinished."""
    return group.pending > 0 or has_undelivered(group)


def _unfinished(group: GroupStats) -> float:
    return group.pending + (math.inf if group.lag is None else group.lag)


def _is_behind(group: GroupStats) -> bool:
    held = group.oldest_pending_seconds if group.pending > group.postponed else None
    oldest = max(held or 0, group.oldest_undelivered_seconds or 0)
    return has_undelivered(group) and oldest > BACKLOG_SECONDS

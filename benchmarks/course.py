"""What everybody has a turn at: steps on the same events, on a server that was empty."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.arena import Arena
from benchmarks.contestants import Contestant


@dataclass(frozen=True, slots=True)
class Step:
    """Part of a turn."""

    workload: str
    """What its figures belong to; empty when they belong to nothing."""
    do: Callable[[Arena, Contestant], dict[str, float]]
    """Raises WrongError; the figures are empty for one who cannot do it."""

    def is_for(self, contestant: Contestant) -> bool:
        """Whether its figures are those of a workload that the contestant takes part in."""
        return self.workload.partition("-")[0] in contestant.kinds


@dataclass(frozen=True, slots=True)
class Course:
    """A turn, and how often everybody has it."""

    steps: tuple[Step, ...]
    rounds: int
    at: float | None = None
    """The point on a scale."""

    @property
    def title(self) -> str:
        """What it is called while it runs."""
        names = ", ".join(step.workload for step in self.steps if step.workload)
        return names if self.at is None else f"{names} at {self.at:,.10g}"

    def is_for(self, contestant: Contestant) -> bool:
        """Whether the contestant takes part in any of it."""
        return any(step.is_for(contestant) for step in self.steps)

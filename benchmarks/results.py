"""What was measured, as it was; medians and ratios of it."""

import json
import statistics
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmarks.contestants import OURS


@dataclass(frozen=True, slots=True)
class Measurement:
    """One contestant's turn at one workload."""

    workload: str
    contestant: str
    round: int
    figures: dict[str, float]
    """`rate` is events per second; `cpu` and `server_cpu` are seconds per 10,000 events; `memory` is MB."""
    at: float | None = None
    """Where on the scale, when the workload is one."""
    wrong: str | None = None
    """Why the figures do not count: the work was not done."""


@dataclass(slots=True)
class Standing:
    """A contestant in this run."""

    name: str
    title: str
    crash: str
    dedup: str
    note: str
    about: dict[str, Any] = field(default_factory=dict)
    """Its Python and its versions."""
    absent: str | None = None
    """Why it was not measured."""

    @property
    def versions(self) -> str:
        """Its versions in a line."""
        return ", ".join(f"{name} {version}" for name, version in self.about.get("versions", {}).items())


@dataclass(slots=True)
class Results:
    """Everything of one run."""

    machine: dict[str, Any]
    plan: dict[str, Any]
    standings: list[Standing] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)

    def of(self, workload: str, contestant: str, at: float | None = None) -> list[Measurement]:
        """A contestant's turns at a workload."""
        return [
            one
            for one in self.measurements
            if (one.workload, one.contestant, one.at) == (workload, contestant, at)
        ]

    def median(self, workload: str, contestant: str, figure: str, at: float | None = None) -> float | None:
        """The middle of its rounds; None when it has none, or one of them was wrong."""
        turns = self.of(workload, contestant, at)
        if not turns or any(turn.wrong for turn in turns):
            return None
        values = [turn.figures[figure] for turn in turns if figure in turn.figures]
        return statistics.median(values) if values else None

    def times_faster(self, workload: str, contestant: str) -> float | None:
        """Our rate divided by its rate."""
        ours, theirs = (self.median(workload, name, "rate") for name in (OURS, contestant))
        return ours / theirs if ours and theirs else None

    def wrong(self, workload: str, contestant: str) -> str | None:
        """Why its turns at a workload do not count."""
        return next((turn.wrong for turn in self.of(workload, contestant) if turn.wrong), None)

    def points(self, workload: str) -> list[float]:
        """The points of a scale that were measured, from small to large."""
        return sorted(
            {one.at for one in self.measurements if one.workload == workload and one.at is not None}
        )

    def add(self, again: "Results") -> None:
        """Take in another run on the same server."""
        rounds = 1 + max((one.round for one in self.measurements), default=-1)
        self.measurements += [replace(one, round=rounds + one.round) for one in again.measurements]

    def to_json(self) -> str:
        """All of it."""
        return to_json([self])

    def as_dict(self) -> dict[str, Any]:
        """All of it, with the medians."""
        return asdict(self) | {"medians": self._medians()}

    def _medians(self) -> list[dict[str, Any]]:
        keys = dict.fromkeys((one.workload, one.contestant, one.at) for one in self.measurements)
        return [
            {"workload": workload, "contestant": contestant, "at": at}
            | {
                figure: self.median(workload, contestant, figure, at)
                for figure in dict.fromkeys(
                    name for one in self.of(workload, contestant, at) for name in one.figures
                )
            }
            for workload, contestant, at in keys
        ]


def to_json(runs: list[Results]) -> str:
    """All of the runs: one, or a list of those on several servers."""
    whole = [one.as_dict() for one in runs]
    return json.dumps(whole[0] if len(whole) == 1 else whole, indent=1) + "\n"

"""How much work each workload is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a run."""

    rounds: int
    one_by_one: int
    """Events to publish one after the other."""
    at_once: int
    """Events to publish by 64 tasks."""
    consume: int
    """Events to publish by 256 tasks, and then to consume."""
    batched: int
    """Events to publish in batches of 100."""
    paced: int
    """Events to publish at `rate`, for the latency."""
    latency_rounds: int
    scale_events: int
    """Events per point of a scale."""
    scale_rounds: int
    streams: tuple[int, ...]
    groups: tuple[int, ...]
    sizes: tuple[float, ...]
    backlogs: tuple[int, ...]
    rate: float = 200
    kilobytes: float = 1.2
    patience: float = 5
    """Seconds without any event, after which a consumer has lost the rest."""


QUICK = Plan(
    rounds=2,
    one_by_one=500,
    at_once=2000,
    consume=2000,
    batched=2000,
    paced=100,
    latency_rounds=1,
    scale_events=1000,
    scale_rounds=1,
    streams=(1, 10, 100),
    groups=(1, 10),
    sizes=(0.2, 1.2, 10),
    backlogs=(1_000, 100_000),
)

FULL = Plan(
    rounds=3,
    one_by_one=5000,
    at_once=20_000,
    consume=20_000,
    batched=20_000,
    paced=800,
    latency_rounds=1,
    scale_events=5000,
    scale_rounds=3,
    streams=(1, 10, 100, 1000),
    groups=(1, 5, 20, 50),
    sizes=(0.2, 1.2, 10, 100),
    backlogs=(1_000, 10_000, 100_000, 1_000_000),
)

"""What a deployment needs, from what trials cost; and how far that is from trials it was not made from.

The cost of an event falls as the rate grows, since more of them share a command, a wake-up and a system
call. So it is measured at some rates, and between two of them it lies on the line between both on paper
with logarithmic axes. To that comes what a worker costs that waits, for one primary and for a cluster. That
workers and primaries share the events, so that fewer share a command, does not enter: it is how far the model
is off.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.sizing.trial import PARTITIONS, Costs, Load, Memory

EVENTS_PER_HOUR = 30_000
"""What Slack delivers at most to an app per workspace and hour, according to its documentation."""

DAY, HOUR = 86_400, 3600
HISTORY = 10_000
"""REDIS_STREAM_MAXLEN as it comes."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a deployment of so many workspaces at Slack's full rate needs."""

    workspaces: int
    per_second: float
    redis_cores: float
    worker_cores: float
    """Of abe-redis alone: a handler's own work comes on top."""
    publisher_cores: float
    """The same, for the webhook's work."""
    in_megabits: float
    """Per second, into Redis."""
    out_megabits: float
    day_gigabytes: float
    """Of ids that are remembered for a day, as it comes."""
    hour_gigabytes: float
    """The same for an hour."""
    history_gigabytes: float
    """Of finished events that are kept."""
    standstill_gigabytes: float
    """What every hour adds in which nothing is handled."""
    full_minutes: float
    """After so long, nothing being handled, streams are as long as they may be."""


class Model:
    """Made from trials at several rates, and the memory of an event."""

    def __init__(self, trials: Sequence[Costs], idle: Sequence[Costs], memory: Memory) -> None:
        self._trials = sorted(trials, key=lambda one: one.load.per_second)
        self._idle = idle
        self._memory = memory

    def waiting(self, load: Load, cost: Callable[[Costs], float]) -> float:
        """What all workers of a trial cost a second while they wait."""
        alike = [one for one in self._idle if (one.load.primaries > 1) == (load.primaries > 1)]
        each = [cost(one) / one.seconds / one.load.workers for one in alike]
        return load.workers * sum(each) / len(each)

    def per_event(self, per_second: float, cost: Callable[[Costs], float]) -> float:
        """What an event costs at a rate, beside that."""
        points = [
            (
                one.load.per_second,
                (cost(one) - one.seconds * self.waiting(one.load, cost)) / one.load.events,
            )
            for one in self._trials
        ]
        if per_second <= points[0][0] or len(points) == 1:
            return points[0][1]
        last = len(points) - 1
        at = next((at for at, (rate, _) in enumerate(points) if per_second <= rate), last)
        (low, one), (high, other) = points[at - 1], points[at]
        part = min(1.0, math.log(per_second / low) / math.log(high / low))
        return float(one * (other / one) ** part)

    def needs(self, workspaces: int, *, hard_maxlen: int = 1_000_000) -> Needs:
        """What so many workspaces need, with one primary and as many workers as the trials had."""
        rate = workspaces * EVENTS_PER_HOUR / HOUR

        def each(cost: Callable[[Costs], float]) -> float:
            return self.waiting(self._trials[0].load, cost) + rate * self.per_event(rate, cost)

        memory = self._memory
        return Needs(
            workspaces=workspaces,
            per_second=rate,
            redis_cores=each(lambda one: sum(one.server_cpu)),
            worker_cores=each(lambda one: one.worker_cpu),
            publisher_cores=each(lambda one: one.publisher_cpu),
            in_megabits=each(lambda one: one.server_in) * 8 / 1e6,
            out_megabits=each(lambda one: one.server_out) * 8 / 1e6,
            day_gigabytes=rate * DAY * memory.remembered / 1e9,
            hour_gigabytes=rate * HOUR * memory.remembered / 1e9,
            history_gigabytes=PARTITIONS * HISTORY * memory.entry / 1e9,
            standstill_gigabytes=rate * HOUR * memory.entry / 1e9,
            full_minutes=PARTITIONS * hard_maxlen / rate / 60,
        )

    def off(self, trial: Costs, cost: Callable[[Costs], float]) -> float:
        """What the model says of a trial, divided by what was measured."""
        load = trial.load
        events = load.events * self.per_event(load.per_second, cost)
        return (events + trial.seconds * self.waiting(load, cost)) / cost(trial)

"""What happens in a schedule: a plain list that a seed makes, that shrinks, and that one can read."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, override

LONGEST_SECONDS = 3.0
"""How long a handler takes at most: several that fail five times must be done in `PATIENCE_SECONDS`."""


class Step(NamedTuple):
    """One thing that is done to the world."""

    at: float
    what: str
    who: str = ""
    """A process, or a stream."""
    value: float = 0
    events: tuple[int, ...] = ()
    group: str = ""

    def __str__(self) -> str:
        words = [f"{self.at:6.2f}s  {self.what}"]
        words += [self.who] if self.who else []
        words += [f"of {self.group}"] if self.group else []
        words += [f"{self.value:g}"] if self.value else []
        words += [f"events {', '.join(map(str, self.events))}"] if self.events else []
        return " ".join(words)


@dataclass(frozen=True)
class Schedule:
    """A schedule."""

    seed: int | str
    """Decides how long messages take, who runs first, and what the engine itself leaves to chance."""
    steps: tuple[Step, ...]
    groups: tuple[tuple[str, bool], ...] = (("g", False),)
    """Each with whether it is ordered."""
    max_deliveries: int = 3
    maxlen: int = 10_000
    concurrency: int = 2
    delay: float = 0.3
    """How long what failed waits for its first retry."""
    durations: tuple[tuple[int, float], ...] = ()
    """Seconds for which the handler of an event works, where that is not a hundredth."""
    failing: tuple[tuple[int, int], ...] = ()
    """How often the handler of an event fails before it succeeds."""
    outbox: Path | None = None
    """The file of those who publish, if they have one."""
    scripts_known: bool = False
    """Whether the server knows the scripts from others who used it before."""
    late: float = 0.5
    """How long the end is watched after everything is done, and after what was on its way has arrived."""

    def __str__(self) -> str:
        groups = ", ".join(
            f"{name} ({'ordered' if ordered else 'unordered'})" for name, ordered in self.groups
        )
        lines = [f"seed {self.seed}; groups {groups}; {self.concurrency} at a time"]
        lines += [f"{self.max_deliveries} deliveries at most; maxlen {self.maxlen}"]
        lines += [f"handling event {event} takes {seconds:g} s" for event, seconds in self.durations]
        lines += [f"handling event {event} fails {count} times" for event, count in self.failing]
        return "\n".join([*lines, *map(str, sorted(self.steps))])

    @property
    def leases(self) -> dict[str, float]:
        """The lease of each worker."""
        return {step.who: step.value for step in self.steps if step.what == "start worker"}

    def with_steps(self, steps: Iterable[Step]) -> "Schedule":
        """The same with other steps."""
        return replace(self, steps=tuple(steps))


STREAMS = ("slack:a", "slack:b")
FAULTS = {
    "kill": 4,
    "stop": 5,
    "pause": 3,
    "suspend": 2,
    "stop machine": 1,
    "cut": 5,
    "lose answers": 5,
    "hold commands": 3,
    "hold answers": 2,
    "restart server": 1,
    "destroy group": 3,
    "delete consumer": 2,
    "forget scripts": 1,
    "step clock": 1,
}
"""What may be done, by how often it is."""

SWARM_FAULTS = FAULTS | {"refuse writes": 2, "freeze server": 2}
"""What may be done in a swarm."""

LONG_EVERY = 5


def generate(seed: int) -> Schedule:
    """The schedule that belongs to a seed: every fifth is a long one.

    Most faults need few events, few members and few steps that come close to each other, and a long schedule
    costs as much as several short ones.
    """
    kind = _Short if seed % LONG_EVERY else _Generator
    return kind(seed, FAULTS).schedule()


def swarm(seed: int) -> Schedule:
    """Another schedule that belongs to a seed: of the kinds of faults it has few, and of these more.

    What needs several faults of one kind comes about seldom where every kind is as likely everywhere.
    """
    chance = random.Random(f"swarm {seed}")
    kinds = chance.sample(list(SWARM_FAULTS), chance.choice([1, 2, 3, 4]))
    faults = {name: chance.choice([1, 2, 4]) for name in kinds}
    kind = _Swarm if seed % LONG_EVERY else _Generator
    return kind(seed, faults).schedule()


class _Generator:
    starts: Sequence[float] = (0.1, 0.85, 0.9, 1.0, 1.3, 2.0)
    """When the first fault comes: mostly while the first events are handled."""
    counts: Sequence[int] = (0, 1, 1, 2, 3, 4, 5)
    """How many faults there are."""
    gaps: Sequence[float] = (0.02, 0.2, 0.7, 1.5)
    """How long after one the next comes."""

    def __init__(self, seed: int, faults: dict[str, int]) -> None:
        self._seed = seed
        self._chance = random.Random(seed)
        self._faults = faults
        self._steps: list[Step] = []
        self._started = 0
        self._lease = 2.0
        self._mixed = False
        self._untouchable: dict[str, float] = {}
        """Workers whose name was deleted: they need some time to notice."""

    def schedule(self) -> Schedule:
        chance = self._chance
        kind = chance.choices(["one", "ordered", "both", "late"], [5, 4, 2, 2])[0]
        groups: tuple[tuple[str, bool], ...] = {
            "one": (("g", False),),
            "ordered": (("o", True),),
            "both": (("g", False), ("o", True)),
            "late": (("g", chance.random() < 0.3),),
        }[kind]
        self._lease = chance.choice([1.0, 1.0, 2.0])
        self._mixed = chance.random() < 0.25
        workers: list[tuple[str, str]] = []
        starting_at = 0.0 if kind != "late" else chance.uniform(0.2, 1.5)
        for name, _ in groups:
            workers += [(self._worker(name, starting_at), name) for _ in range(chance.choice([1, 2, 2]))]
        most = chance.choice([2, 3, 4, 6]) if kind != "late" else chance.choice([8, 12])
        count = self._publish(most, late=kind == "late")
        end = self._break(workers)
        events = range(count)
        return Schedule(
            self._seed,
            tuple(sorted(self._steps, key=lambda step: step.at)),
            groups=groups,
            max_deliveries=chance.choice([1, 2, 3, 5]),
            maxlen=chance.choice([3, 10_000]) if kind != "late" else 3,
            concurrency=chance.choice([1, 2, 3]),
            durations=tuple(
                (event, round(chance.choice([0.1, 0.3, 1.0, min(end / 2, LONGEST_SECONDS)]), 2))
                for event in events
                if chance.random() < 0.35
            ),
            failing=tuple((event, chance.choice([1, 1, 2, 99])) for event in events if chance.random() < 0.3),
        )

    def _step(self, at: float, what: str, who: str = "", value: float = 0, **more: object) -> None:
        self._steps.append(Step(round(at, 3), what, who, round(value, 3), **more))  # type: ignore[arg-type]

    def _worker(self, group: str, at: float) -> str:
        name = f"w{self._started}"
        self._started += 1
        lease = self._lease * (self._chance.choice([1, 4]) if self._mixed else 1)
        self._step(at, "start worker", name, lease, group=group)
        return name

    def _publish(self, most: int, *, late: bool) -> int:
        chance, number = self._chance, 0
        streams = STREAMS[: chance.choice([1, 1, 2])]
        at = 0.05
        while number < most:
            count = min(chance.choice([1, 2, 6 if late else 3]), most - number)
            events = tuple(range(number, number + count))
            self._step(at, "publish", chance.choice(streams), events=events)
            if chance.random() < 0.1:
                self._step(at + chance.uniform(0, 2), "publish again", events=events[:1])
            number += count
            at += chance.uniform(0, 0.3 if late else 1.2)
        return number

    def _break(self, workers: list[tuple[str, str]]) -> float:
        chance, at = self._chance, self._chance.choice(self.starts)
        for _ in range(chance.choice(self.counts)):
            (what,) = chance.choices(list(self._faults), list(self._faults.values()))
            at = self._fault(what, workers, at)
            at += chance.choice(self.gaps)
        return at

    def _fault(self, what: str, workers: list[tuple[str, str]], at: float) -> float:
        chance, lease = self._chance, self._lease
        who, group = chance.choice(workers)
        if what in {"kill", "stop", "pause", "suspend", "stop machine", "hold commands", "hold answers"}:
            at = max(at, self._untouchable.get(who, 0.0))
        long = round(lease * chance.choice([0.3, 0.7, 1.2, 1.6]), 2)
        match what:
            case "kill" | "stop":
                self._step(at, what, who)
                workers.remove((who, group))
                if not workers or chance.random() < 0.8:
                    workers.append((self._worker(group, at + chance.choice([0.05, 0.5])), group))
            case "pause" | "suspend" | "stop machine" | "hold commands" | "hold answers":
                self._step(at, what, who, long)
            case "cut":
                self._step(at, what, who, chance.choice([0, 0.05, lease * 1.2]))
            case "lose answers":
                self._step(at, what, who, chance.choice([1, 1, 2, 3]))
            case "restart server":
                self._step(at, what, value=chance.choice([0.1, 0.6]))
            case "destroy group":
                self._step(at, what, chance.choice(STREAMS), group=group)
            case "delete consumer":
                self._step(at, what, who, group=group)
                self._untouchable[who] = at + 2 * self._lease * (4 if self._mixed else 1)
            case "step clock":
                self._step(at, what, value=chance.choice([-2.0, -0.5, 0.3]))
            case "refuse writes" | "freeze server":
                self._step(at, what, value=chance.choice([0.1, 0.5, 1.2, 2.0]))
            case _:
                self._step(at, what)
        return at


class _Short(_Generator):
    """Few events, which the workers find when they start, and faults that come close to each other."""

    starts: Sequence[float] = (0.01, 0.03, 0.05, 0.07, 0.1, 0.2, 0.4, 0.7)
    counts: Sequence[int] = (1, 1, 1, 2, 2, 3)
    gaps: Sequence[float] = (0.0, 0.02, 0.1, 0.4, 0.9)

    @override
    def schedule(self) -> Schedule:
        chance = self._chance
        kinds = {"one": (("g", False),), "ordered": (("o", True),), "both": (("g", False), ("o", True))}
        groups: tuple[tuple[str, bool], ...] = kinds[chance.choices(list(kinds), [5, 4, 1])[0]]
        self._lease, self._mixed = 1.0, chance.random() < 0.1
        events = range(chance.choice([1, 2, 2, 3]))
        self._publish_all(events)
        starting_at = chance.choice([0.0, 0.01, 0.02, 0.02])
        workers = [
            (self._worker(name, starting_at), name)
            for name, _ in groups
            for _ in range(chance.choice([1, 2, 2]))
        ]
        end = self._break(workers)
        if chance.random() < 0.4:  # else all faults end with the last step
            self._step(end + chance.choice([0.5, 1.3]), "wait")
        return Schedule(
            self._seed,
            tuple(sorted(self._steps, key=lambda step: step.at)),
            groups=groups,
            max_deliveries=chance.choice([1, 2, 3]),
            maxlen=chance.choice([3, 10_000]),
            concurrency=chance.choice([1, 2, 3]),
            durations=tuple((n, chance.choice([0.1, 0.3, 0.8])) for n in events if chance.random() < 0.5),
            failing=tuple((n, chance.choice([1, 1, 2, 99])) for n in events if chance.random() < 0.25),
            scripts_known=True,
            late=0.15,
        )

    def _publish_all(self, events: range) -> None:
        chance, at = self._chance, 0.0
        streams = STREAMS[: chance.choice([1, 1, 1, 2])]
        while events:
            count = chance.randint(1, len(events))
            self._step(at, "publish", chance.choice(streams), events=tuple(events[:count]))
            if chance.random() < 0.05:
                self._step(at + chance.uniform(0, 0.5), "publish again", events=(events[0],))
            events, at = events[count:], at + chance.choice([0.0, 0.05, 0.3])


class _Swarm(_Short):
    """The same with more faults, which come closer to each other."""

    starts = (0.01, 0.03, 0.06, 0.1, 0.3)
    counts = (2, 3, 3, 4, 5, 6)
    gaps = (0.0, 0.002, 0.01, 0.05, 0.2, 0.6)

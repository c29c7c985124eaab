"""`python -m tests.simulation`: many schedules, each by its seed; what fails is made short and shown.

`make simulate` plays for ten minutes on every core. `--seed N` plays one schedule and tells its story.
"""

import argparse
import functools
import gc
import importlib.metadata
import itertools
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from redis.asyncio import client

from abe_redis.client import commands
from tests.simulation.actors import settings_for
from tests.simulation.all_doors import AllDoors
from tests.simulation.by_hand import BY_HAND
from tests.simulation.mutants import ROOT
from tests.simulation.other_hands import OtherHands, search
from tests.simulation.play import Outcome, play, play_quietly, small_steps
from tests.simulation.schedule import Schedule, generate, swarm
from tests.simulation.shrink import shrink

_BATCH = 200
"""Schedules that a process plays before it ends, and its garbage with it: half a megabyte each."""


@dataclass
class Batch:
    """What came of some seeds."""

    schedules: int = 0
    turns: int = 0
    commands: int = 0
    events: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    failed: dict[int, set[str]] = field(default_factory=dict)
    """The rules that the schedule of a seed broke."""

    def note(self, seed: int, outcome: Outcome) -> None:
        """Take in what came of one more."""
        self.schedules += 1
        self.turns += outcome.turns
        self.commands += outcome.commands
        self.seconds += outcome.seconds
        self.steps.update(step.what for step in outcome.schedule.steps)
        self.events += sum(len(step.events) for step in outcome.schedule.steps)
        if outcome.violations:
            self.failed[seed] = {violation.rule for violation in outcome.violations}

    def add(self, other: "Batch") -> None:
        """Take in what came of others."""
        self.schedules += other.schedules
        self.turns += other.turns
        self.commands += other.commands
        self.events += other.events
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.steps += other.steps
        self.failed |= other.failed


def play_seeds(seeds: tuple[int, int], generated: Callable[[int], Schedule] = generate) -> Batch:
    """Play the schedules from one seed up to another."""
    batch, began = Batch(), time.process_time()
    with small_steps():
        for seed in range(*seeds):
            batch.note(seed, play_quietly(generated(seed)))
    batch.cpu_seconds = time.process_time() - began
    return batch


def _hurry() -> None:
    """Do once what redis-py does anew for each client, though it is always the same.

    It asks for its own version, which reads a file, and writes the names of all commands in capitals. Only a
    process that does nothing else may do that: other clients may speak another protocol.
    """
    importlib.metadata.version = functools.cache(importlib.metadata.version)
    redis_client: Any = client
    callbacks = redis_client.CaseInsensitiveDict(
        redis_client.get_response_callbacks(user_protocol=2, legacy_responses=True)
    )
    redis_client.CaseInsensitiveDict = lambda _: callbacks
    # Our clients use of redis-py its commands and its parsing, which know nothing of a connection.
    parts: Any = commands.Client
    like = vars(client.Redis(protocol=2))
    parts.__mro__[1].__init__ = lambda self, **_: self.__dict__.update(like)


def _begin() -> None:
    """Let no process collect garbage, which costs a tenth of the time, nor do what every schedule needs."""
    for seed in range(10):  # by then most scripts are compiled
        play(generate(seed))
    for schedule in map(generate, range(500)):
        for lease in {2.0, *schedule.leases.values()}:
            settings_for(lease, schedule.max_deliveries, schedule.maxlen)
    gc.collect()
    gc.freeze()
    gc.disable()


def _batches(first: int, until: float, most: int) -> Iterator[tuple[int, int]]:
    for begin in itertools.count(first, _BATCH):
        if time.monotonic() >= until or begin >= first + most:
            return
        yield begin, min(begin + _BATCH, first + most)


def story(outcome: Outcome) -> str:
    """What was done, what happened, and what is wrong with it."""
    lines = [str(outcome.schedule), "", "What happened:"]
    for record in outcome.history.records:
        words = [f"{record.at:9.3f}s  {record.what:<9}", f"{record.process:<7}", record.group]
        words += [f"event {record.event}"] if record.event else []
        words += [f"delivery {record.deliveries}"] if record.deliveries else []
        lines.append("  ".join(words))
    lines += ["", "What is wrong:"]
    lines += [f"[{one.rule}] {one.sentence}" for one in outcome.violations] or ["nothing"]
    return "\n".join(lines)


def main() -> int:
    """Play them; 1 if a promise was broken."""
    _hurry()
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for how long")
    parser.add_argument("--schedules", type=int, default=10**9, help="how many at most")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="play one schedule, and tell its story")
    parser.add_argument("--by-hand", choices=BY_HAND, help="the same with a schedule that no seed makes")
    parser.add_argument(
        "--shown", type=int, default=3, help="how many of the failures are made short and shown"
    )
    parser.add_argument("--until-failure", action="store_true", help="stop at the first failure")
    parser.add_argument("--whole", action="store_true", help="do not make them short")
    parser.add_argument(
        "--small", type=int, help="let Hypothesis choose so many schedules of the small scale"
    )
    parser.add_argument("--all-doors", action="store_true", help="with --small: agents and an outbox, too")
    parser.add_argument("--swarm", action="store_true", help="more faults of fewer kinds in each schedule")
    options = parser.parse_args()
    generated = swarm if options.swarm else generate
    if options.small:
        search(AllDoors if options.all_doors else OtherHands, options.small)
        return 0
    if options.seed is not None or options.by_hand:
        outcome = play(BY_HAND[options.by_hand] if options.by_hand else generated(options.seed))
        if outcome.violations and not options.whole:
            outcome = shrink(outcome)
        sys.stdout.write(story(outcome) + "\n")
        return int(bool(outcome.violations))
    total, began = Batch(), time.monotonic()
    _begin()
    batches = _batches(options.first_seed, began + options.seconds, options.schedules)
    for batch in _play_all(batches, options.workers, generated):
        total.add(batch)
        if total.failed and options.until_failure:
            break
    _report(total, time.monotonic() - began, options.first_seed)
    for seed in sorted(total.failed)[: options.shown]:
        found = play(generated(seed))
        sys.stdout.write(f"\nseed {seed}:\n{story(found if options.whole else shrink(found))}\n")
    return int(bool(total.failed))


def _play_all(
    batches: Iterator[tuple[int, int]], workers: int, generated: Callable[[int], Schedule]
) -> Iterator[Batch]:
    """Play each batch in a process of its own, forked by one that has no threads."""
    fork = multiprocessing.get_context("fork")
    running: dict[Any, Any] = {}
    """By connection, the process at its other end."""
    try:
        while True:
            for batch in itertools.islice(batches, workers - len(running)):
                ours, theirs = fork.Pipe(duplex=False)
                process = fork.Process(target=_tell, args=(batch, theirs, generated), daemon=True)
                process.start()
                theirs.close()
                running[ours] = process
            if not running:
                return
            told: Any
            for told in wait(list(running)):
                process = running.pop(told)
                yield told.recv()
                process.join()
    finally:
        for process in running.values():
            process.kill()


def _tell(seeds: tuple[int, int], ours: Connection, generated: Callable[[int], Schedule]) -> None:
    ours.send(play_seeds(seeds, generated))


def _commit() -> str:
    """The engine's commit, for the table of what was explored."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def _report(total: Batch, seconds: float, first: int) -> None:
    out = sys.stdout.write
    out(
        f"{total.schedules:,} schedules (seeds {first} to {first + total.schedules - 1}) in {seconds:.0f} s: "
        f"{total.events:,} events, {total.commands:,} commands, {total.turns:,} turns, "
        f"{total.seconds / 3600:.1f} simulated hours, "
        f"{1000 * total.cpu_seconds / max(1, total.schedules):.1f} ms of CPU each, commit {_commit()}\n"
    )
    out(f"what was done: {', '.join(f'{what} {count:,}' for what, count in total.steps.most_common())}\n")
    rules = Counter(rule for broken in total.failed.values() for rule in broken)
    out(f"{len(total.failed)} schedules broke a promise{': ' if rules else ''}")
    out(", ".join(f"{rule} {count}" for rule, count in rules.most_common()) + "\n")
    if total.failed:
        out(f"seeds: {', '.join(map(str, sorted(total.failed)[:20]))}\n")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is chance, too
        os.execve(  # noqa: S606 - this program again
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    raise SystemExit(main())

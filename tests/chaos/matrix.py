"""`python -m tests.chaos.matrix`: every seed on every server, plain and ordered; and a line for each run.

On a lone Redis and a lone Valkey, `tests.chaos` breaks everything at random, and has a plain and an ordered
group in each run. Behind Sentinels and in a cluster, `tests.chaos.failover` replaces primaries and moves
slots, and each group has a run of its own. The checker reads the history of each.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos import failover
from tests.chaos.history import Violation
from tests.chaos.run import Run
from tests.server_binaries import any_binary, bundled_binary, system_binary
from tests.topologies import Cluster, Sentinels

STREAMS = {"sentinels": 4, "cluster": 32}


class Came(NamedTuple):
    """What came of a run."""

    accepted: int
    lost: int
    repeated: int
    violations: list[Violation]


class Cell(NamedTuple):
    """A server, and what kind of groups it has."""

    server: str
    kind: str
    play: Callable[[int, argparse.Namespace], Came]


def lone(binary: Path) -> Callable[[int, argparse.Namespace], Came]:
    """Runs on one server."""

    def play(seed: int, options: argparse.Namespace) -> Came:
        run = Run(binary, seed=seed, events=options.events, seconds=options.seconds)
        account = asyncio.run(run.play())
        left = [Violation("left", "", f"{account.pending} pending, {account.orphans} consumers, "
                          f"keys {account.stray_keys[:3]}")]  # fmt: skip
        is_left = account.pending or account.orphans or account.stray_keys
        return Came(
            len(account.accepted),
            len(account.lost),
            account.repeated,
            [*account.violations, *(left if is_left else ())],
        )

    return play


def replicated(
    binary: Path, topology: type[Sentinels] | type[Cluster], *, ordered: bool
) -> Callable[[int, argparse.Namespace], Came]:
    """Runs on servers that replace each other."""

    def play(seed: int, options: argparse.Namespace) -> Came:
        with topology(binary) as servers:
            run = failover.Run(
                servers,
                streams=STREAMS[topology.__name__.lower()],
                events=options.events,
                seconds=options.seconds,
                seed=seed,
                ordered=ordered,
            )
            account = run.play()
        return Came(len(account.accepted), len(account.lost), account.repeated, account.violations)

    return play


def cells() -> list[Cell]:
    """The whole matrix, as far as there are servers for it."""
    found: list[Cell] = []
    for name, binary in (("redis", system_binary()), ("valkey", bundled_binary())):
        if binary is not None:
            found.append(Cell(name, "plain and ordered", lone(binary)))
    if (any_one := any_binary()) is not None:
        for topology in (Sentinels, Cluster):
            for kind in ("plain", "ordered"):
                play = replicated(any_one, topology, ordered=kind == "ordered")
                found.append(Cell(topology.__name__.lower(), kind, play))
    return found


def main() -> int:
    """Play the matrix; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.matrix", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="runs of each cell")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=3_500, help="events of each run")
    parser.add_argument("--seconds", type=float, default=15, help="in how many seconds they are published")
    parser.add_argument(
        "--server", action="append", help="redis, valkey, sentinels or cluster; all by default"
    )
    options = parser.parse_args()
    wanted = [cell for cell in cells() if not options.server or cell.server in options.server]
    say = sys.stdout.write
    events = runs = broken = 0
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for cell in wanted:
            began = time.monotonic()
            came = cell.play(seed, options)
            events, runs = events + came.accepted, runs + 1
            broken += bool(came.lost or came.violations)
            say(
                f"{cell.server:9}  {cell.kind:17}  seed {seed}: {came.accepted:,} accepted, "
                f"{came.lost} lost, {came.repeated} repeated, {len(came.violations)} promises broken, "
                f"{time.monotonic() - began:.0f} s\n"
            )
            for violation in came.violations[:5]:
                say(f"    [{violation.rule}] {violation.sentence}\n")
            sys.stdout.flush()
    say(f"{runs} runs, {events:,} events, {broken} runs broke a promise\n")
    return int(bool(broken) or not runs)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.chaos`: several seeds on several servers, and a table."""

import argparse
import asyncio
import sys
from pathlib import Path

from rich.table import Table

from tests.chaos.account import Account
from tests.chaos.run import Run
from tests.chaos.shown import show
from tests.server_binaries import bundled_binary, system_binary


def main() -> int:
    """Play the runs; 1 if anything was lost or left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="runs per server")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=6000, help="events per run")
    parser.add_argument("--seconds", type=float, default=18, help="for how long things break")
    parser.add_argument("--naive", action="store_true", help="the baseline: ack before the work")
    arguments = parser.parse_args()
    binaries = {"Valkey": bundled_binary(), "Redis": system_binary()}
    table = Table(
        "server",
        "seed",
        "faults",
        "accepted",
        "lost",
        "repeated",
        "buried",
        "pending",
        "orphans",
        "broken",
        "s",
    )
    total = failures = 0
    for name, binary in binaries.items():
        if binary is None:
            table.add_row(name, "not installed")
            continue
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            account = play(binary, seed, arguments)
            total += len(account.accepted)
            failures += bool(account.lost or account.pending or account.orphans or account.stray_keys)
            failures += bool(account.violations) and not account.lost
            table.add_row(
                name,
                str(seed),
                str(account.faults.total()),
                str(len(account.accepted)),
                str(len(account.lost)),
                str(account.repeated),
                str(account.dead_letters),
                str(account.pending),
                str(account.orphans),
                str(len(account.violations)),
                f"{account.seconds:.0f}",
            )
            for violation in account.violations[:5]:
                sys.stderr.write(f"[{violation.rule}] {violation.sentence}\n")
            if account.stray_keys:
                sys.stderr.write(f"keys without an owner: {account.stray_keys[:10]}\n")
    show(table)
    sys.stdout.write(f"{total} events accepted; {failures} runs failed\n")
    return 1 if failures and not arguments.naive else 0


def play(binary: Path, seed: int, arguments: argparse.Namespace) -> Account:
    """One run."""
    run = Run(binary, seed=seed, events=arguments.events, seconds=arguments.seconds, naive=arguments.naive)
    return asyncio.run(run.play())


if __name__ == "__main__":
    raise SystemExit(main())

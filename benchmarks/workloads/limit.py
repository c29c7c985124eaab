"""What the server itself can take, asked by its own benchmark program, which does nothing but send."""

import csv
import shutil
import subprocess

from benchmarks.arena import Arena
from benchmarks.ledger import WrongError
from benchmarks.payload import Envelopes

PROGRAMS = ("redis-benchmark", "valkey-benchmark")
CLIENTS = {"publish-1": 1, "publish-64": 64, "publish-256": 256}
READ_COUNT = 100

_STREAM = "limit"


def find() -> str | None:
    """The program, if there is one on this machine."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def version(program: str) -> dict[str, str]:
    """Its name, and its version."""
    done = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    name, _, number = done.stdout.strip().partition(" ")
    return {name: number}


def limit(arena: Arena, program: str, *, count: int, kilobytes: float) -> dict[str, dict[str, float]]:
    """Events per second of each workload that has such a limit.

    Raises:
        WrongError: Not all entries are in the stream.
    """
    rates = {}
    # As long as an envelope, without its quotes: the program puts the command into its CSV as it is.
    value = "x" * sum(map(len, Envelopes(kilobytes).halves()))
    for workload, clients in CLIENTS.items():
        arena.fresh()
        rates[workload] = _run(program, arena, clients, count, "XADD", _STREAM, "*", "data", value)
        if (there := arena.client.xlen(_STREAM)) != count:
            raise WrongError(f"{program} added {there} entries instead of {count}.")
    arena.client.xgroup_create(_STREAM, "group", "0")
    read = f"XREADGROUP GROUP group consumer COUNT {READ_COUNT} NOACK STREAMS {_STREAM} >"
    rates["consume"] = READ_COUNT * _run(program, arena, 1, count // READ_COUNT, *read.split())
    return {workload: {"rate": rate} for workload, rate in rates.items()}


def _run(program: str, arena: Arena, clients: int, requests: int, *command: str) -> float:
    """Requests per second."""
    options = ["-h", "127.0.0.1", "-p", str(arena.port), "-c", str(clients), "-n", str(requests), "--csv"]
    done = subprocess.run(  # noqa: S603 - it was found on PATH, and only sends to our server
        [program, *options, *command], capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    rows = list(csv.DictReader(done.stdout.splitlines()))
    if done.returncode or not rows:
        raise WrongError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")
    return float(rows[-1]["rps"])

"""`python -m tests.generated`, or `make generated`: answers and calls at random, many of each."""

import argparse
import sys
import tempfile
from pathlib import Path

import anyio

from tests.generated import answers, calls
from tests.hosts import environments
from tests.server_binaries import any_binary
from tests.servers import Server


def main() -> int:
    """Make them; 1 when something is wrong, 2 when they cannot be made here."""
    parser = argparse.ArgumentParser(prog="python -m tests.generated", description=__doc__)
    parser.add_argument("--answers", type=int, default=12_000)
    parser.add_argument("--calls", type=int, default=4000, help="of each line of the SDK")
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    binary = any_binary()
    if binary is None:
        sys.stderr.write("This needs a Redis or Valkey server.\n")
        return 2
    bad: list[str] = []
    with Server(binary) as queue, tempfile.TemporaryDirectory() as directory:
        for version in ("1.30", "2.3"):
            sdk = environments.mcp_sdk(version)
            found, wrong = calls.run(sdk, queue.url, Path(directory), options.calls, options.seed)
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
            sys.stdout.write(f"mcp {version}: {found.total()} calls: {kinds}; {len(wrong)} did not help\n")
            sys.stdout.flush()
            bad += wrong
    with Server(binary) as queue:
        answered, wrong = anyio.run(answers.run, queue.url, options.answers, options.seed)
        sys.stdout.write(f"{answered} answers to calls at random; {len(wrong)} wrong\n")
        bad += wrong
    for words in bad[:50]:
        sys.stdout.write(f"✗ {words}\n")
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m tests.under_load [ARG …]`: all tests beside busy loops, as on a machine that has other work.

`make test-under-load` runs it; the arguments are pytest's. There are four busy loops for each core, so each
test gets about a fifth of the processor time that it has on an idle machine. A loop ends with the process
that started it, however that ends.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

LOOPS_PER_CORE = 4

# Its standard input is a pipe from its parent, which the system closes when the parent is gone.
_BUSY_LOOP = """
import os, sys, threading

def end_with_the_parent():
    sys.stdin.buffer.read()
    os._exit(0)

threading.Thread(target=end_with_the_parent, daemon=True).start()
print("busy", flush=True)
while True:
    pass
"""
_PYTEST = (sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal")


@contextmanager
def busy_loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep so many processes busy, until the end of the block."""
    loops: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            command = [sys.executable, "-c", _BUSY_LOOP]
            loops.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for loop in loops:
            assert loop.stdout is not None
            assert loop.stdout.readline() == b"busy\n"
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            with loop:  # closes its pipes, and waits for its end
                pass


def run(command: Sequence[str], loops: int) -> int:
    """Run a command beside busy loops; its exit code."""
    with busy_loops(loops):
        return subprocess.run(command, check=False).returncode


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments; its exit code."""
    signal.signal(signal.SIGTERM, _end)
    return run([*_PYTEST, *arguments], LOOPS_PER_CORE * (os.cpu_count() or 1))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

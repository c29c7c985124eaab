"""Scripts that run on a small disk of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lets a test have a small disk of its own"
)

COMMON = """
import asyncio, os, sys
from pathlib import Path
from abe_redis.errors import OutboxFullError
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_reserve import LEAST_BYTES
from abe_redis.publishing.outbox_rows import Row
from abe_redis.streams.publish import Draft

place = Path(sys.argv[1])
path = place / "outbox.db"
reserve = place / "outbox.db-reserve"

def row(size):
    return Row(Draft("slack_events", {b"data": os.urandom(size // 2).hex().encode()}, "", "", 1.0))

def fill(outbox, size, growth=0):
    numbers = []
    while True:
        try:
            numbers.append(outbox.append(row(size + growth * len(numbers))))
        except OutboxFullError as error:
            assert "its disk is full" in str(error), error
            return numbers

def fill_the_rest():  # to the last byte, as a log beside it does
    with open(place / "others", "ab", buffering=0) as others:
        try:
            while True:
                others.write(b"x" * 512)
        except OSError:
            pass

def empty(outbox, claim, taken):
    for writer in claim():
        while rows := outbox.first(writer).rows:
            taken([one.number for one in rows])
            outbox.settle(writer, [one.number for one in rows], {})
        outbox.release(writer)
"""


def command(place: Path, script: str, *arguments: str, size: str = "2m") -> list[str]:
    """The command that runs a script, whose first argument is the disk."""
    file = place / "script.py"
    file.write_text(COMMON + script)
    disk = place / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={size} none "{disk}" && exec "$@"'
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    run = [sys.executable, str(file), str(disk), *arguments]
    return ["unshare", *as_root, "--mount", "sh", "-c", mount, "sh", *run]


def run(place: Path, script: str, *arguments: str) -> None:
    """Run a script that ends with `print("held")`."""
    found = subprocess.run(command(place, script, *arguments), capture_output=True, text=True, check=False)
    assert found.stdout == "held\n", found.stderr

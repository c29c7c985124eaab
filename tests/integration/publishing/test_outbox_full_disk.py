"""An outbox whose disk is full: what it holds still leaves it, and then there is room again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import os, sys
from pathlib import Path
from abe_redis.errors import OutboxFullError
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_rows import Row
from abe_redis.streams.publish import Draft

place, size, is_new_process = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "restarted"

def row():
    return Row(Draft("slack_events", {b"data": os.urandom(size // 2).hex().encode()}, "", "", 1.0))

def fill(outbox):
    numbers = []
    while True:
        try:
            numbers.append(outbox.append(row()))
        except OutboxFullError as error:
            assert "its disk is full" in str(error), error
            return numbers

def empty(outbox):
    taken = []
    for writer in outbox.claim():
        while rows := outbox.first(writer).rows:
            taken += [one.number for one in rows]
            outbox.settle(writer, [one.number for one in rows], {})
        outbox.release(writer)
    return taken

outbox = OutboxFile(place / "outbox.db")
for again in range(3):
    kept = fill(outbox)
    with open(place / "others", "wb") as others:  # to the last byte, as a log beside it does
        try:
            while True:
                os.write(others.fileno(), b"x" * 512)
        except OSError:
            pass
    assert outbox.size().waiting == len(kept) > 1, (again, kept)
    if is_new_process:
        outbox.forsake()
        outbox = OutboxFile(place / "outbox.db")
    assert sorted(empty(outbox)) == kept
    assert outbox.size().waiting == 0
    (place / "others").unlink()
print("held")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a test have a small disk of its own")
@pytest.mark.parametrize("process", ["the same", "restarted"])
@pytest.mark.parametrize("size", [2_000, 100_000])
def test_what_a_full_disk_holds_leaves_it_and_makes_room(tmp_path: Path, size: int, process: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=2m none "{disk}" && exec "$@"'
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    run = [sys.executable, str(script), str(disk), str(size), process]
    found = subprocess.run(
        ["unshare", *as_root, "--mount", "sh", "-c", mount, "sh", *run],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "held\n", found.stderr

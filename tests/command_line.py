"""Runs commands of ours, each in a process of its own, without importing everything for each of them.

Most of a command's time is spent on imports. So one process per worker of the tests imports the commands
once, and forks for each run; the child has its own environment, directory, input and output, and ends as a
process does. What is about starting, such as what an import costs, runs Python itself.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from abe_redis import cli
from tests.hosts import ending
from tests.patience import PATIENCE


def run_command(
    *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `abe-redis` with these arguments in the current directory, as `subprocess.run` would."""
    done = run_in_bytes(*arguments, stdin=(stdin or "").encode(), env=env)
    told = [said.decode() for said in (done.stdout, done.stderr)]
    return subprocess.CompletedProcess(done.args, done.returncode, *told)


def run_in_bytes(
    *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run it with bytes in and out; PYTHONIOENCODING is the encoding of its console."""
    with tempfile.TemporaryDirectory() as directory:
        files = {name: Path(directory, name) for name in ("stdin", "stdout", "stderr")}
        files["stdin"].write_bytes(stdin)
        code = _forks().run(
            {
                "arguments": list(arguments),
                "environment": dict(os.environ if env is None else env),
                "directory": str(Path.cwd()),
                "files": {name: str(path) for name, path in files.items()},
            }
        )
        told = [files[name].read_bytes() for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(["abe-redis", *arguments], code, *told)


class _Forks:
    """The process that forks; it ends with this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def run(self, job: Mapping[str, Any]) -> int:
        """Run a command, and return its exit code."""
        self._tell(job)
        child = int(self._answer())
        timer = threading.Timer(PATIENCE, os.kill, (child, signal.SIGKILL))
        timer.start()
        try:
            return int(self._answer())
        finally:
            timer.cancel()
            timer.join()

    def _tell(self, job: Mapping[str, Any]) -> None:
        stdin: IO[str] = self._process.stdin  # type: ignore[assignment]
        print(json.dumps(job), file=stdin, flush=True)

    def _answer(self) -> str:
        stdout: IO[str] = self._process.stdout  # type: ignore[assignment]
        return stdout.readline()

    def close(self) -> None:
        """End the process."""
        with self._process:
            pass


_FORKS: list[_Forks] = []


def _forks() -> _Forks:
    if not _FORKS:
        _FORKS.append(_Forks())
    return _FORKS[0]


# The process that forks ----------------------------------------------------------------------------------


def _serve() -> None:
    """Fork for each job on stdin, and answer with the child's process id and, in the end, its exit code."""
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            _become(job)
        _answer(child)
        _, status = os.waitpid(child, 0)
        _answer(os.waitstatus_to_exitcode(status))


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(job: Mapping[str, Any]) -> NoReturn:
    """Be the command. What ends it is let through, for Python to end as it does."""
    os.chdir(job["directory"])
    os.environ.clear()
    os.environ.update(job["environment"])
    console = os.environ.get("PYTHONIOENCODING", "utf-8")
    for descriptor, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        with Path(job["files"][name]).open(mode) as file:
            os.dup2(file.fileno(), descriptor)
        setattr(sys, name, open(descriptor, mode, encoding=console, closefd=False))  # noqa: SIM115
    sys.argv = ["abe-redis", *job["arguments"]]
    ending.run(cli.main)
    raise SystemExit(0)


def _prepare() -> None:
    """Import what commands import, also when they run, and leave all of it alone from then on."""
    build_once()
    for name in _WHEN_THEY_RUN:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection would copy every page that parent and child share


def build_once(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Build the commands out of their functions, as each process of theirs does: half of a command's time."""
    for module in pkgutil.iter_modules(cli.__path__):
        importlib.import_module(f"{cli.__name__}.{module.name}")
    importlib.import_module("abe_redis.cli.top.command")
    ours: Any = importlib.import_module("abe_redis.cli.app")
    main: Any = importlib.import_module("typer.main")
    ours.in_order(ours.app)
    ours.with_stream_option(ours.app)
    build = main.get_command
    built = build(ours.app)
    replace(main, "get_command", lambda app: built if app is ours.app else build(app))


_WHEN_THEY_RUN = (
    "abe_redis.backend",
    "abe_redis.doctor",
    "abe_redis.operations.audit",
    "abe_redis.operations.erasure",
    "abe_redis.operations.groups",
    "abe_redis.operations.operations",
    "abe_redis.worker",
    "anyio._backends._asyncio",
    "encodings.idna",
    "pwd",
    "rich._emoji_codes",
    "typer._adapters",
    "typer._click._textwrap",
    "typer._click.decorators",
    "typer.rich_utils",
)

if __name__ == "__main__":
    _prepare()
    _serve()

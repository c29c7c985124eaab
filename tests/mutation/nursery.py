"""`python -m tests.mutation.nursery SRC`: tries mutants, one after the other, each in a process forked off.

What the tests import is imported once, but for the package itself, of which a copy in SRC comes first on
the path: there the mutants are written. A job and its verdict are lines of JSON.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest

_OPTIONS = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--assert=plain", "--tb=no")
_GRACE_SECONDS = 5.0
"""How long a process may take to clear up when its verdict is there."""


class Judge:
    """A plug-in: each test has its own time, and the first failure is told at once."""

    def __init__(self, seconds: dict[str, float], tell: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._tell = tell

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        places = {test: at for at, test in enumerate(self._seconds)}
        items.sort(key=lambda item: places.get(item.nodeid, len(places)))
        for item in items:
            item.add_marker(pytest.mark.timeout(8 + 3 * self._seconds.get(item.nodeid, 1)), append=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tell(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        with contextlib.suppress(ImportError):
            from tests.servers import Server

            for server in [one for one in gc.get_objects() if isinstance(one, Server)]:
                server.close()


def main(src: Path) -> None:
    """Try what is asked for."""
    sys.path.insert(0, str(src))
    os.environ["PYTHONPATH"] = str(src)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _preload()
    for line in sys.stdin:
        job = json.loads(line)
        path = src / job["path"]
        original = path.read_bytes()
        try:
            path.write_text(job["source"], encoding="utf-8")
            Path(cache_from_source(str(path))).unlink(missing_ok=True)
            killer = _try(job["tests"], job["seconds"])
        finally:
            path.write_bytes(original)
        answers.write(json.dumps({"killer": killer}) + "\n")
        answers.flush()


def _preload() -> None:
    """Import what a run of the tests imports, except what is put to the test and the tests."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        with contextlib.suppress(BaseException):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            pytest.main(["--collect-only", *_OPTIONS])
        with os.fdopen(writer, "w") as out:
            out.write("\n".join(sys.modules))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as found:
        names = found.read().split()
    os.waitpid(child, 0)
    ours = {path.name.removesuffix(".py") for path in Path(sys.path[0]).iterdir()} | {"tests", "conftest"}
    for name in names:
        if name.split(".")[0] not in ours and "test" not in name.split(".")[0].split("_"):
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                warnings.simplefilter("ignore")
                importlib.import_module(name)
    gc.freeze()


def _try(tests: dict[str, float], seconds: float) -> str | None:
    """What kills the mutant that is in place."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _run(tests, writer)
    os.close(writer)
    verdict, deadline = b"", time.monotonic() + seconds
    try:
        while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
            if not (more := os.read(reader, 65536)):
                break
            verdict += more
            deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
        else:
            verdict = verdict or b"- time"
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    words = verdict.decode().split("\n")[0]
    if words.startswith("- "):
        return words.removeprefix("- ")
    return None if words == "+" else "the process ended"


def _run(tests: dict[str, float], writer: int) -> None:
    """Be the process that runs the tests."""
    os.setsid()
    status: Any = 3
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        judge = Judge(tests, lambda test: _say(writer, f"- {test}"))
        status = pytest.main([*_OPTIONS, *tests], plugins=[judge])
    except BaseException:  # noqa: BLE001, S110 - whatever the mutant did
        pass
    _say(writer, {0: "+"}.get(int(status), f"- pytest ended with {int(status)}"))
    os._exit(0)


def _say(writer: int, words: str) -> None:
    with contextlib.suppress(OSError):
        os.write(writer, f"{words}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

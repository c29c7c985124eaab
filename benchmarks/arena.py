"""The one server, and beside it a process to publish and one to consume for each contestant."""

import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from benchmarks.contestants import Contestant
from benchmarks.ledger import WrongError
from tests.hosts.environments import ROOT, Environment, environment
from tests.hosts.processes import Child, ProcessError
from tests.servers import Server

ANSWER_SECONDS = 300.0
"""Anything that takes longer hangs."""

UVLOOP = "uvloop==0.23.0"


class AbsentError(Exception):
    """A contestant cannot be measured here; the message is a sentence about it."""


class Process:
    """A contestant's process: a command goes in, an answer comes out."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._answers = 0
        self.about = self.answer()
        """Its Python and its versions."""

    def ask(self, what: str, **parameters: object) -> dict[str, Any]:
        """Have it do something, and wait for the first answer."""
        self.send(what, **parameters)
        return self.answer()

    def send(self, what: str, **parameters: object) -> None:
        """Have it do something."""
        self._child.send(json.dumps({"do": what, **parameters}))

    def close(self) -> None:
        """End it whatever it does."""
        self._child.close()

    def go_on(self) -> dict[str, Any]:
        """Let it end what waits for that, and wait for the answer."""
        self._child.send("")
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer.

        Raises:
            WrongError: It failed, or there is none.
        """
        try:
            line = self._child.line(self._answers, seconds=ANSWER_SECONDS)
        except (ProcessError, OSError) as error:
            raise WrongError(f"Its process has ended: {error}") from None
        self._answers += 1
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WrongError(f"It failed with {answer['error'].rstrip('.')}.")
        return answer


class Arena:
    """Everything that runs during a run; ended with it."""

    def __init__(self, binary: Path, *, uvloop: bool = False) -> None:
        self._server = Server(binary)
        self._directory = Path(tempfile.mkdtemp(prefix="abe-redis-benchmarks-"))
        self._uvloop = uvloop
        self._processes: dict[tuple[str, str], Process] = {}
        self._stack = ExitStack()
        self.client = self._server.admin()

    @property
    def port(self) -> int:
        """Where the server listens."""
        return self._server.port

    def server_version(self) -> str:
        """Name and version."""
        info: Any = self.client.info("server")
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']}"
        return f"Redis {info['redis_version']}"

    def fresh(self) -> None:
        """Empty the server."""
        self.client.flushall()

    def work(self, contestant: Contestant, *, streams: int = 1, groups: int = 1) -> dict[str, Any]:
        """Where a contestant works, as its process is told; made ready for it."""
        keys, names = contestant.place.keys(streams), [f"group-{number}" for number in range(groups)]
        contestant.place.prepare(self.client, keys, names)
        return {"url": self._server.url, "streams": keys, "groups": names}

    def publisher(self, contestant: Contestant) -> Process:
        """Its process that publishes.

        Raises:
            AbsentError: It cannot be started here.
        """
        return self._process(contestant, "publisher")

    def consumer(self, contestant: Contestant) -> Process:
        """Its process that consumes.

        Raises:
            AbsentError: It cannot be started here.
        """
        return self._process(contestant, "consumer")

    def end(self, contestant: Contestant) -> None:
        """End its processes; the next thing asked of it starts others."""
        for role in ("publisher", "consumer"):
            if (process := self._processes.pop((contestant.name, role), None)) is not None:
                process.close()

    def drained(self, contestant: Contestant, keys: list[str], *, patience: float) -> float:
        """Wait until the server says that all is done; the monotonic time of that.

        Raises:
            WrongError: Some is never done.
        """
        deadline = time.monotonic() + patience
        while left := contestant.place.unfinished(self.client, keys):
            if time.monotonic() > deadline:
                raise WrongError(f"{left:,} events were handled and never acknowledged, or not handled.")
            time.sleep(0.0005)
        return time.monotonic()

    def _process(self, contestant: Contestant, role: str) -> Process:
        if (found := self._processes.get((contestant.name, role))) is None:
            found = self._start(contestant)
            self._processes[contestant.name, role] = found
        return found

    def _start(self, contestant: Contestant) -> Process:
        program = contestant.program or ("-m", f"benchmarks.peers.{contestant.name}")
        child = _environment(contestant, uvloop=self._uvloop).start(
            *program,
            *(("--uvloop",) if self._uvloop else ()),
            cwd=self._directory,  # where there is no .env
            variables={"PYTHONPATH": str(ROOT)},
        )
        self._stack.enter_context(child)
        try:
            return Process(child)
        except WrongError as error:
            raise AbsentError(f"It does not start: {_last_line(error)}") from None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
            stack.enter_context(self._server)
            stack.callback(self.client.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _environment(contestant: Contestant, *, uvloop: bool) -> Environment:
    """Its environment, made when it is not there yet."""
    if not contestant.requirements and not uvloop:
        return Environment(Path(sys.prefix))
    try:
        return environment(
            f"bench-{contestant.name}" + ("-uvloop" if uvloop else ""),
            requirements=contestant.requirements + ((UVLOOP,) if uvloop else ()),
            project=not contestant.requirements,
        )
    except pytest.fail.Exception as error:
        raise AbsentError(f"Its environment cannot be made: {_last_line(error)}") from None


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]

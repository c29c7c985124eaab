"""Processes in a test's hands: what they say is read as it comes, and every wait has an end."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.patience import PATIENCE, pause


class ProcessError(RuntimeError):
    """The process did not do what was expected; the message has the end of what it said."""


class Child:
    """A process with pipes to its stdin and stdout, and its stderr in a file."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, variables: Mapping[str, str], stderr: Path
    ) -> None:
        self.lines: list[str] = []
        """What it has printed so far."""
        self._stderr = stderr
        self._said = threading.Condition()
        self._at_end = False
        with stderr.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self._stderr.read_text("utf-8", errors="replace")

    def send(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close_stdin(self) -> None:
        """Let its stdin end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait_for[Found](
        self, condition: Callable[[list[str]], Found | None], what: str, *, seconds: float = PATIENCE
    ) -> Found:
        """Wait until its lines satisfy the condition, and return what that found."""
        deadline = time.monotonic() + seconds
        with self._said:
            while True:
                found = condition(self.lines)
                if found:
                    return found
                left = deadline - time.monotonic()
                if self._at_end or left <= 0:
                    raise ProcessError(f"waited for {what} in vain.\n{self._tail()}")
                self._said.wait(left)

    def line(self, number: int, *, seconds: float = PATIENCE) -> str:
        """Its line of this number, counted from 0, when it is there."""
        return self.wait_for(
            lambda lines: lines[number] if len(lines) > number else None, f"line {number}", seconds=seconds
        )

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until it has come so far, as the condition tells; its end ends the wait."""
        until(lambda: condition() or self.process.poll() is not None, what)
        if not condition():
            raise ProcessError(f"it ended before {what}.\n{self._tail()}")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def wait(self, *, seconds: float = PATIENCE) -> int:
        """Wait until it has ended and everything it said has been read; the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"it did not end within {seconds} s.\n{self._tail()}") from None
        self._reader.join(seconds)
        return code

    def close(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        self.close_stdin()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._at_end = True
            self._said.notify_all()

    def _tail(self) -> str:
        stdout = "\n".join(self.lines[-20:])
        return f"exit code: {self.process.poll()}\nstdout: {stdout}\nstderr: {self.stderr[-4000:]}"


def until[Found](condition: Callable[[], Found], what: str, *, seconds: float = PATIENCE) -> Found:
    """Wait until the condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    asked = time.monotonic()
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise ProcessError(f"waited {seconds} s for {what} in vain")
        time.sleep(pause(time.monotonic() - asked))
        asked = time.monotonic()
    return found


@contextmanager
def ended[Process: Child](processes: list[Process]) -> Iterator[list[Process]]:
    """End every process that was added to the list meanwhile."""
    try:
        yield processes
    finally:
        for process in processes:
            process.close()

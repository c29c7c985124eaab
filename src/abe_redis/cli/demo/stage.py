"""What the demo needs: a directory, the embedded server in it, and processes that end with it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import anyio
import anyio.to_thread
from anyio.abc import Process

from abe_redis.cli.demo.terminal import DemoError
from abe_redis.embedded.server import EmbeddedServer

LEASE_SECONDS = 3.0
"""The lease in the demo. The default of 30 seconds would make it too long."""

SERVER = "the embedded server"
"""What the demo waits for first."""

_POLL_SECONDS = 0.02
_END_SECONDS = 5.0


@dataclass(eq=False)
class Child:
    """A process of the demo; its stderr goes to a file."""

    name: str
    process: Process
    log: Path

    def check(self) -> None:
        """Check that it runs.

        Raises:
            DemoError: It has ended; the message has the end of its stderr.
        """
        if self.process.returncode is not None:
            code = self.process.returncode
            raise DemoError(f"{self.name} ended with exit code {code}. Its last words: {tail(self.log)}")

    async def end(self) -> None:
        """Ask it to end, kill it if it does not, and wait until it is gone."""
        with anyio.CancelScope(shield=True):
            if self.process.returncode is None:
                self.process.terminate()
            with anyio.move_on_after(_END_SECONDS) as patience:
                await self.process.wait()
            if patience.cancelled_caught:
                self.process.kill()
            await self.process.wait()


class Stage:
    """The directory, the server's URL, and the environment of every process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = EmbeddedServer(directory / "redis")
        self.redis_url = f"embedded://{quote(str(self.server.directory))}"
        self.kept = False
        """Keep the directory after the demo."""
        self.waiting_for = SERVER
        """The thing for which the demo waits now; the message names it if it never comes."""
        # The caller's own settings for a queue must not reach the demo's processes.
        ours = ("REDIS_", "SLACK_", "QUEUE_BACKEND")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.upper().startswith(ours)},
            "REDIS_URL": self.redis_url,
            "REDIS_STREAM_LEASE_SECONDS": str(LEASE_SECONDS),
        }

    @asynccontextmanager
    async def python(
        self, name: str, *arguments: str, stdout_too: bool = False, **variables: str
    ) -> AsyncIterator[Child]:
        """Run this Python in a process of its own until the end of the block.

        Args:
            name: Its name in messages.
            arguments: As in `python -m MODULE …`.
            stdout_too: Send its stdout to the file of its stderr instead of a pipe.
            variables: More variables for its environment.
        """
        log = self.directory / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = await anyio.open_process(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output if stdout_too else subprocess.PIPE,
                stderr=output,
                cwd=self.directory,  # it has no .env
                env=self.environment | variables,
                start_new_session=True,  # Ctrl-C reaches the demo only, which ends them in order
            )
        child = Child(name, process, log)
        try:
            yield child
        finally:
            await child.end()
            if process.stdout is not None:
                await process.stdout.aclose()

    async def until(self, condition: Callable[[], bool], what: str, *alive: Child) -> None:
        """Wait until the condition holds, while these processes run.

        Raises:
            DemoError: One of them has ended.
        """
        self.waiting_for = what
        while not condition():
            for child in alive:
                child.check()
            await anyio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def set_up() -> AsyncIterator[Stage]:
    """A stage with a running server. At the end it stops the server, and removes the directory unless kept.

    Raises:
        EmbeddedServerError: The server could not be started.
    """
    stage = Stage(Path(tempfile.mkdtemp(prefix="abe-redis-demo-")))
    socket: Path | None = None
    try:
        socket = await anyio.to_thread.run_sync(stage.server.start)
        yield stage
    finally:
        stage.server.stop()
        if not stage.kept:
            with anyio.move_on_after(_END_SECONDS, shield=True):
                # Its supervisor removes the socket last.
                while socket is not None and socket.exists():  # noqa: ASYNC110 - a file
                    await anyio.sleep(_POLL_SECONDS)
            shutil.rmtree(stage.directory, ignore_errors=True)


def tail(log: Path) -> str:
    """The end of a log, as one line."""
    lines = log.read_text("utf-8", errors="replace").split("\n")
    return " / ".join(line.strip() for line in lines if line.strip())[-500:] or "(none)"

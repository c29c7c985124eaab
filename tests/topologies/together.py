"""What servers that belong together share: they start and end with each other, and follow a primary."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.patience import PATIENCE
from tests.server_binaries import ServerError
from tests.servers import Server

REPLICATION = {"repl-diskless-sync-delay": "0", "repl-timeout": "10", "repl-backlog-size": "16mb"}
_MEMORY = Path("/dev/shm")


def wait_until(condition: Callable[[], Any], what: str, *, seconds: float = 2 * PATIENCE) -> Any:
    """Wait for something true, and return it; a server that does not answer is not ready."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError, ServerError):
            if found := condition():
                return found
        time.sleep(0.02)
    raise ServerError(f"{what}: not within {seconds:g} s")


class Together:
    """Servers that start and end with each other."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._stack = stack
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        raise NotImplementedError

    def _state(self, prefix: str) -> Path:
        """A directory for what they write in each step of a failover, and wait for."""
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if _MEMORY.is_dir() else "/tmp"))
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        return directory

    def _serve(self, server: Server) -> Server:
        self.servers.append(self._stack.enter_context(server))
        return server

    def revive(self) -> None:
        """Let all run again."""
        for server in self.servers:
            server.thaw()
            server.start()


def has_replicas(server: Server, count: int) -> bool:
    """Whether so many replicas follow it."""
    with server.admin() as client:
        info: Any = client.info("replication")
    replicas = [info[f"slave{number}"] for number in range(info["connected_slaves"])]
    return info["role"] == "master" and [one["state"] for one in replicas].count("online") >= count


def empty(server: Server, replicas: int) -> None:
    """Remove everything, on the replicas too."""
    server.reset()
    with server.admin() as client:
        client.flushall()
        client.wait(replicas, round(PATIENCE * 1000))

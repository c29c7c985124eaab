"""The process of an environment that forks: all workers of the tests share it, and the last ends it."""

import atexit
import fcntl
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.patience import PATIENCE

_PROGRAM = str(Path(__file__).with_name("fork_server.py"))
_IN_ITS_STEAD = str(Path(__file__).with_name("forked.py"))

_COMMANDS = (
    *("abe_redis.cli", "abe_redis.cli.audit", "abe_redis.cli.count", "abe_redis.cli.dashboard"),
    *("abe_redis.cli.dead", "abe_redis.cli.dead_changes", "abe_redis.cli.demo", "abe_redis.cli.doctor"),
    *("abe_redis.cli.erase", "abe_redis.cli.group", "abe_redis.cli.listen", "abe_redis.cli.mcp"),
    *("abe_redis.cli.mcp_install", "abe_redis.cli.publish", "abe_redis.cli.read", "abe_redis.cli.settle"),
    *("abe_redis.cli.stats", "abe_redis.cli.worker", "abe_redis.cli.top.command"),
    *("abe_redis.backend", "anyio._backends._asyncio", "encodings.idna"),
)

OF_HOSTS = (
    *("abe.backends.message_queue.loader", "abe.backends.message_queue.consumer"),
    *("abe_plugin.backends.message_queue.service.redis", "slack_mcp.webhook.event.consumer"),
    *(*_COMMANDS, "mcp.client.stdio", "mcp.server", "uvicorn"),
    *("abe_redis.operations.operations", "abe_redis.runtime.web"),
    *("abe_redis.mcp.server", "abe_redis.mcp.http", "abe_redis.mcp.oauth", "abe_redis.mcp.sessions"),
)
"""What a host's consumer, or an MCP server or client, imports before its first work is done."""

LONG_RUNNING = (
    *(*_COMMANDS, "abe_redis.worker", "abe_redis.slack", "abe_redis.operations.operations"),
    *("abe_redis.dashboard", "abe_redis.runtime.web", "uvicorn"),
)
"""What workers, listeners and dashboards import."""


OF_BOLT = (
    *LONG_RUNNING,
    *("slack_bolt", "slack_bolt.async_app", "slack_bolt.authorization", "slack_sdk.web.async_client"),
)
"""What a worker of a Bolt app imports, too."""


def command(python: str, modules: tuple[str, ...], *options: str) -> list[str]:
    """The words that stand for an environment's interpreter, with arguments behind them as usual.

    Before them come options of Python itself. Modules that the environment does not have are left out.
    """
    return [python, "-I", "-S", _IN_ITS_STEAD, _address(python, modules, options)]


def ours(*options: str) -> list[str]:
    """The same for the interpreter of the tests: for a command of ours, where its start is not in question.

    SIGSTOP and SIGCONT reach only what stands for the process.
    """
    return command(sys.executable, LONG_RUNNING, *options)


@cache
def _address(python: str, modules: tuple[str, ...], options: tuple[str, ...]) -> str:
    environment = Path(python).parents[1]
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    digest = hashlib.sha256(repr((session, python, modules, options)).encode()).hexdigest()[:12]
    # Not in the environment: a socket's path may have about 100 characters and no more.
    address = f"/tmp/abe-redis-forks-{digest}"
    with (environment / "forks.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = socket.socket(socket.AF_UNIX)
        atexit.register(connection.close)  # until then, it keeps the process alive
        try:
            connection.connect(address)
        except OSError:
            Path(address).unlink(missing_ok=True)
            _start([python, *options, _PROGRAM, address, *modules])
            connection.connect(address)
    return address


def _start(words: list[str]) -> None:
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            words,
            env=kept | {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=PATIENCE,
            check=False,
        )
        said.seek(0)
        assert done.returncode == 0, said.read().decode(errors="replace")

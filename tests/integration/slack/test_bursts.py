"""A burst of connections that ask for nothing, at each door for HTTP: it goes on, and fills no log."""

import http.client
import os
import signal
import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.hosts.processes import Child, until
from tests.patience import PATIENCE
from tests.servers import Server, free_port

FILES = 100
"""Which the process may open."""
BURST = 300
MOST_LINES = 20

DOORS = {
    "listen": "listen --http --port",
    "mcp": "mcp --http --port",
    "dashboard": "dashboard --port",
    "worker": "worker bot:handle --group workers --metrics-port",
}


def status(port: int) -> int | None:
    """What it answers to a request; None if it does not."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


@pytest.mark.promise("Of at most 512 connections")
@pytest.mark.promise("A burst is accepted a few at a time")
@pytest.mark.parametrize("door", DOORS)
def test_a_burst_of_connections_deafens_no_door(
    server: Server, redis_url: str, tmp_path: Path, door: str
) -> None:
    port = free_port()
    (tmp_path / "bot.py").write_text("def handle(event):\n    print(event, flush=True)\n", "utf-8")
    # Whose loop would accept one connection at a time anyway.
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["uvloop"] = None\n', "utf-8")
    limited = ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh", sys.executable, "-m", "abe_redis"]
    variables = os.environ | {
        "REDIS_URL": redis_url,
        "SLACK_SIGNING_SECRET": "secret",
        "PYTHONPATH": str(tmp_path),
    }
    command = [*limited, *DOORS[door].split(), str(port)]
    with ExitStack() as stack:
        child = stack.enter_context(
            Child(command, cwd=tmp_path, variables=variables, stderr=tmp_path / "log")
        )
        until(lambda: status(port), "the door to open")
        child.signal(signal.SIGSTOP)
        for _ in range(BURST):  # which the kernel takes
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        if door == "worker":
            with server.admin() as client:
                client.xadd("slack_events", {"data": "{}"})
        child.signal(signal.SIGCONT)
        until(lambda: status(port), "an answer beside the burst")
        if door == "worker":
            child.line(0)
        assert "Traceback" not in child.stderr
        assert len(child.stderr.splitlines()) <= MOST_LINES, child.stderr
        child.signal(signal.SIGTERM)
        child.wait()

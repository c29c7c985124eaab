"""`abe-redis worker` as a process that tests start, watch and end."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.hosts import forking
from tests.hosts.processes import Child, ended, until
from tests.servers import Server

GROUP = "workers"
STREAM = "slack_events"


class Start(Protocol):
    def __call__(
        self, handler: str, *options: str, before: str = "", by: str = "fork", **variables: str
    ) -> Child: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers in a directory that holds bot.py, by a fork unless the start or the process counts."""
    shutil.copy(Path(__file__).parents[1].joinpath("worker_handlers.py"), tmp_path / "bot.py")
    with ended(list[Child]()) as children:

        def run(handler: str, *options: str, before: str = "", by: str = "fork", **variables: str) -> Child:
            strict = ("-W", "error")
            python = forking.ours(*strict) if by == "fork" else [sys.executable, *strict]
            child = Child(
                [*python, "-m", "abe_redis", *before.split(), "worker", handler, "--group", GROUP, *options],
                cwd=tmp_path,
                variables=os.environ | {"COLUMNS": "200"} | variables,
                stderr=tmp_path / f"stderr-{len(children)}",
            )
            children.append(child)
            return child

        yield run


@pytest.fixture
def queue(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The shared server, which is empty, and whose URL is in the environment."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    return server


def publish(server: Server, *payloads: dict[str, Any]) -> None:
    with server.admin() as client:
        for payload in payloads:
            client.xadd(STREAM, {"data": json.dumps(payload)})


def said(child: Child, what: str) -> list[dict[str, Any]]:
    """What its handlers have said of this so far."""
    return [one for line in list(child.lines) if (one := json.loads(line))["what"] == what]


def wait_until_said(child: Child, what: str, count: int = 1) -> list[dict[str, Any]]:
    def enough(_: list[str]) -> list[dict[str, Any]] | None:
        found = said(child, what)
        return found if len(found) >= count else None

    return child.wait_for(enough, f"{count} times {what!r}")


def wait_for_log(child: Child, words: str) -> None:
    until(lambda: words in child.stderr or child.process.poll() is not None, f"the log to say {words!r}")
    assert words in child.stderr


def wait_until_listening(*workers: Child) -> None:
    for worker in workers:
        wait_for_log(worker, "handles events of")


def held(server: Server) -> dict[str, int]:
    """Per consumer of the group, how many events are leased to it."""
    with server.admin() as client:
        if not client.exists(STREAM) or not client.xinfo_groups(STREAM):
            return {}
        return {row["name"]: row["pending"] for row in client.xinfo_consumers(STREAM, GROUP)}


def left(server: Server) -> int | None:
    """How many events the group has not finished."""
    with server.admin() as client:
        (group,) = client.xinfo_groups(STREAM)
        return None if group["lag"] is None else int(group["pending"]) + int(group["lag"])


def end(worker: Child) -> None:
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.stderr

"""What `abe-redis worker` says: its first line, its log, its help."""

from pathlib import Path

import pytest

from tests.integration.cli.command_runs import run
from tests.integration.cli.worker_process import (
    Start,
    end,
    publish,
    queue,
    start,
    wait_until_listening,
    wait_until_said,
)
from tests.servers import Server

__all__ = ["queue", "start"]


def test_the_first_line_says_who_reads_what(queue: Server, start: Start) -> None:
    with queue.admin() as client:
        client.acl_setuser("app", enabled=True, passwords=["+s3cret"], keys=["*"], commands=["+@all"])
    worker = start(
        "bot:handle",
        "-c",
        "3",
        REDIS_URL=queue.url.replace("redis://", "redis://app:s3cret@"),
        REDIS_STREAM_CONSUMER="bot-1",
        REDIS_STREAM_PATTERNS="slack:*,mine",
    )
    wait_until_listening(worker)
    (line,) = [one for one in worker.stderr.splitlines() if "handles events of" in one]
    assert line.endswith(
        "INFO abe_redis.worker.event_worker: "
        "Consumer 'bot-1' of group 'workers' handles events of mine, slack_events, "
        f"slack:* at {queue.url}, 3 at a time."
    )
    end(worker)
    assert "s3cret" not in worker.stderr


def test_the_first_line_names_partitions(queue: Server, start: Start) -> None:
    worker = start("bot:handle", REDIS_STREAM_PATTERNS="slack_events", REDIS_STREAM_PARTITIONS="4")
    wait_until_listening(worker)
    assert "handles events of slack_events and its partitions p0 to p3 at redis" in worker.stderr
    end(worker)


@pytest.mark.parametrize("verbose", [False, True])
def test_other_libraries_are_quiet_unless_asked(queue: Server, start: Start, verbose: bool) -> None:
    publish(queue, {"n": 1})
    worker = start("bot:logs", before="-v" if verbose else "")
    wait_until_said(worker, "running on")
    end(worker)
    assert ("not shown" in worker.stderr) == verbose
    assert ("only shown with -v" in worker.stderr) == verbose


def test_uvloop_is_used_when_it_is_there(queue: Server, start: Start, tmp_path: Path) -> None:
    """A stand-in for it, which notes that its loop was asked for."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "uvloop.py").write_text(
        "import asyncio\nclass Loop(asyncio.SelectorEventLoop): pass\ndef new_event_loop(): return Loop()\n"
    )
    publish(queue, {"n": 1})
    worker = start("bot:logs", PYTHONPATH=str(tmp_path / "path"))
    assert wait_until_said(worker, "running on")[0]["loop"] == "uvloop"
    end(worker)


def test_help_shows_examples() -> None:
    shown = run("worker", "--help").stdout
    assert "Example: abe-redis worker bot:handle --group workers --concurrency 8" in shown
    for option in (
        "--group",
        "--concurrency",
        "--timeout",
        "--view",
        "--respond-to",
        "--drain",
        "--refuse-origin",
        "--retry-first",
        "--retry-most",
    ):
        assert option in shown
    assert "worker" in run("--help").stdout

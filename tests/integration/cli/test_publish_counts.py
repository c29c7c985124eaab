"""`abe-redis publish --lines` tells new events, known ones and those in the outbox apart, however it ends."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.hosts import forking
from tests.hosts.processes import Child, ended, until
from tests.integration.cli.command_runs import at, run
from tests.servers import Server

__all__ = ["at"]

KNOWN = 6


def lines(first: int, last: int) -> str:
    envelopes = (
        {"type": "event_callback", "event_id": f"Ev{n}", "event": {"type": "app_mention"}}
        for n in range(first, last + 1)
    )
    return "".join(f"{json.dumps(one)}\n" for one in envelopes)


@pytest.fixture
def known(at: None) -> None:
    """The first lines are there already."""
    assert publish(lines(1, KNOWN)).stdout == f"{KNOWN} events published.\n"


def publish(text: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("publish", "--lines", "-", *more, stdin=text, **environment)


def told(text: str, **environment: str) -> tuple[str, tuple[int, int, int, int]]:
    """What stderr says of it, and the counts of the JSON."""
    done = publish(text, "--json", **environment)
    found = json.loads(done.stdout)
    return done.stderr, (found["lines"], found["added"], found["duplicates"], found["waiting"])


@pytest.mark.usefixtures("known")
def test_an_end_without_a_failure() -> None:
    assert publish(lines(1, 9)).stdout == "3 events published; 6 more were there already.\n"
    assert told(lines(9, 10)) == ("", (2, 1, 1, 0))
    assert publish(lines(10, 10)).stdout == "0 events published; 1 more was there already.\n"


@pytest.mark.usefixtures("known")
def test_a_line_that_is_no_event() -> None:
    said, counts = told(f"{lines(1, KNOWN)}no event\n")
    assert (
        "Published before it: 0; 6 more were there already. Correct it and go on with --from-line 7" in said
    )
    assert counts == (6, 0, 6, 0)
    said, counts = told(f"{lines(KNOWN, 8)}no event\n")
    assert "Published before it: 2; 1 more was there already." in said
    assert counts == (3, 2, 1, 0)


@pytest.mark.usefixtures("known")
def test_a_line_that_no_stream_takes() -> None:
    deep = '{"a": ' + "[" * 120 + "]" * 120 + "}\n"
    said, counts = told(lines(5, 8) + deep)
    assert "Published: 2; 2 more were there already. Continue with --from-line 5." in said
    assert counts == (4, 2, 2, 0)


@pytest.mark.usefixtures("known")
def test_a_stream_that_gets_full() -> None:
    said, counts = told(lines(1, 20), REDIS_STREAM_HARD_MAXLEN="10", REDIS_STREAM_MAXLEN="10")
    assert "Published: 4; 6 more were there already. Continue with --from-line 11." in said
    assert counts == (10, 4, 6, 0)


@pytest.mark.usefixtures("known", "not_under_nohup")
def test_a_signal(server: Server, tmp_path: Path) -> None:
    command = [*forking.ours(), "-m", "abe_redis", "publish", "--lines", "-"]
    child = Child(command, cwd=tmp_path, variables=os.environ, stderr=tmp_path / "stderr")
    with ended([child]), server.admin() as client:
        for line in lines(1, 7).splitlines():
            child.send(line)
        until(lambda: client.xlen("slack_events") == 7, "the new line to be published")
        child.process.send_signal(signal.SIGINT)
        child.wait()
        assert "Published: 1; 6 more were there already. Continue with --from-line 8." in child.stderr


@pytest.mark.usefixtures("at")
def test_events_in_the_outbox(tmp_path: Path) -> None:
    away = {"REDIS_URL": "redis://127.0.0.1:1", "REDIS_OUTBOX": str(tmp_path / "outbox.db")}
    said, counts = told(f"{lines(1, 3)}no event\n", **away)
    assert "Published before it: 3 (3 of them in the outbox). Correct it" in said
    assert counts == (3, 0, 0, 3)
    done = publish(lines(4, 4), **away)
    assert "1 event published, 1 of which waits in the outbox until Redis takes it." in done.stdout

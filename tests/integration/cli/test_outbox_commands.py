"""Commands beside an outbox: those that look show what waits there, and leave it where it is."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_rows import Row
from abe_redis.streams.publish import Draft
from tests.hosts import forking
from tests.hosts.processes import Child
from tests.integration.cli.command_runs import answer, at, run

__all__ = ["at"]

HOURS = 3


@pytest.fixture
def outbox(at: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An outbox in which a process that has ended left an event."""
    path = tmp_path / "outbox.db"
    monkeypatch.setenv("REDIS_OUTBOX", str(path))
    file = OutboxFile(path)
    draft = Draft("slack_events", {b"data": b'{"text":"kept"}'}, "event:Ev1", "attempt", 86_400.0)
    file.append(Row(draft, published_at=time.time() - 3600 * HOURS))
    file.close()
    return path


def waiting(path: Path) -> int:
    file = OutboxFile(path)
    try:
        return file.size().waiting
    finally:
        file.close()


def add(redis_url: str, text: str) -> None:
    """Add an event as another publisher does, which has no outbox."""
    added = run("publish", json.dumps({"type": "message", "text": text}), REDIS_OUTBOX="")
    assert added.returncode == 0, added.stderr


@pytest.mark.promise("The other commands leave the outbox as it is")
def test_who_follows_the_events_forwards_none(outbox: Path, redis_url: str, tmp_path: Path) -> None:
    add(redis_url, "before")
    command = [*forking.ours(), "-m", "abe_redis", "read", "--follow", "--json"]
    with Child(command, cwd=tmp_path, variables=os.environ, stderr=tmp_path / "stderr") as child:
        assert json.loads(child.line(0))["payload"]["text"] == "before"
        for number in range(1, 4):
            add(redis_url, f"after {number}")
            assert json.loads(child.line(number))["payload"]["text"] == f"after {number}"
        assert waiting(outbox) == 1
        child.signal(signal.SIGINT)
        assert child.wait() == 0
    assert waiting(outbox) == 1


@pytest.mark.promise("The other commands leave the outbox as it is")
@pytest.mark.parametrize(
    "words",
    ["stats", "read", "count", "dead list", "dead summary", "group list", "audit", "doctor"],
)
def test_a_look_forwards_nothing(outbox: Path, redis_url: str, words: str) -> None:
    add(redis_url, "there")
    found = run(*words.split())
    assert found.returncode in {0, 1}, found.stderr
    assert waiting(outbox) == 1


def test_stats_and_doctor_say_how_long_the_oldest_waits(outbox: Path, redis_url: str) -> None:
    add(redis_url, "there")
    assert f"Outbox: 1 waiting, the oldest for {HOURS} h." in run("stats").stdout
    assert answer("stats")["outbox"]["oldest_waiting_seconds"] >= 3600 * HOURS
    assert (
        f"1 event waits in {outbox} for Redis, the oldest for {HOURS} h."
        in run("doctor", COLUMNS="500").stdout
    )


def test_nothing_is_said_of_the_oldest_in_an_empty_one(at: None, tmp_path: Path) -> None:
    shown = run("stats", REDIS_OUTBOX=str(tmp_path / "outbox.db")).stdout
    assert "Outbox: 0 waiting." in shown


def test_scripts_learn_what_waits_while_redis_is_away(outbox: Path) -> None:
    done = run("stats", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert (result["streams"], result["outbox"]["waiting"]) == ([], 1)
    (problem,) = result["problems"]
    assert problem in " ".join(done.stderr.split())


def test_the_log_names_the_first_of_many_that_the_audit_could_not_take(outbox: Path, tmp_path: Path) -> None:
    lines = tmp_path / "events.jsonl"
    lines.write_text("".join(f'{{"n": {n}}}\n' for n in range(300)))
    done = run("publish", "--lines", str(lines), REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0, done.stderr
    # As many batches as come: of each, the first five are named, and the others counted.
    said = re.findall(r"all the same: publish_many \(.*?, ids: (.*?), run: ", " ".join(done.stderr.split()))
    named = [len(re.findall(r"outbox-\d+", one)) for one in said]
    others = [int(more) for one in said for more in re.findall(r"and (\d+) more", one)]
    assert max(named) <= 5
    assert sum(named) + sum(others) == 300


def test_the_audit_counts_those_that_are_not_listed(at: None, tmp_path: Path) -> None:
    lines = tmp_path / "events.jsonl"
    lines.write_text("".join(f'{{"n": {n}}}\n' for n in range(300)))
    assert run("publish", "--lines", str(lines)).returncode == 0
    said = " ".join(run("audit").stdout.split())
    assert "and 290 more" in said
    assert "more ids" not in said

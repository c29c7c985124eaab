"""`abe-redis publish`: lines from files and pipes, signals, and events that wait or are empty."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.hosts import forking
from tests.hosts.processes import Child, ended, until
from tests.integration.cli.command_runs import answer, at, run
from tests.servers import Server

__all__ = ["at"]


@pytest.mark.usefixtures("at")
def test_a_line_that_cannot_be_read_ends_it_with_the_number_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"n": 1}\n' * 700 + b'{"text": "caf\xe9"}\n{"n": 2}\n')
    done = run("publish", "--lines", str(path))
    assert done.returncode == 1
    assert re.search(
        r"Line \d+ is no JSON object \(it is not UTF-8: .*\)\. Published before it: (\d+)\.", done.stderr
    )
    published = int(re.findall(r"Published before it: (\d+)", done.stderr)[0])
    first = int(re.findall(r"--from-line (\d+)", done.stderr)[0])
    assert answer("stats")["streams"][0]["length"] == published == first - 1


def test_lines_are_published_as_they_come(
    server: Server, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(
        [*forking.ours(), "-m", "abe_redis", "publish", "--lines", "-"],
        cwd=tmp_path,
        variables=os.environ | {"REDIS_URL": redis_url},
        stderr=tmp_path / "stderr",
    )
    with ended([child]):
        with server.admin() as client:
            for number in range(3):
                child.send(f'{{"n": {number}}}')
                until(lambda: client.xlen("slack_events") == number + 1, "a line to be published")  # noqa: B023
        child.process.send_signal(signal.SIGINT)
        assert child.wait() in {1, 130}
        assert "Published: 3. Continue with --from-line 4." in child.stderr
    monkeypatch.setenv("REDIS_URL", redis_url)
    (one,) = answer("audit")["changes"]
    assert (one["what"], len(one["facts"]["ids"])) == ("publish_many", 3), "one run is one change"


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_goes_on_after_a_signal_publishes_no_event_twice(
    server: Server, redis_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(60_000)))
    child = Child(
        [*forking.ours(), "-m", "abe_redis", "publish", "--lines", str(path)],
        cwd=tmp_path,
        variables=os.environ | {"REDIS_URL": redis_url},
        stderr=tmp_path / "stderr",
    )
    with ended([child]), server.admin() as client:
        until(lambda: client.xlen("slack_events") > 1000, "lines to be published")
        child.process.send_signal(number)
        child.wait()
        length = client.xlen("slack_events")
        sentence = f"Published: {length}. Continue with --from-line {length + 1}."
        assert length == 60_000 or sentence in child.stderr


@pytest.mark.usefixtures("at")
def test_many_events_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [
        json.dumps({"type": "event_callback", "event_id": f"Ev{n}", "event": {"n": n}}) for n in range(1200)
    ]
    path.write_text("\n".join([*lines[:700], "", "[]", *lines[700:]]), encoding="utf-8")
    broken = run("publish", "--lines", str(path))
    assert broken.returncode == 1
    assert broken.stdout == ""
    assert broken.stderr == (
        "abe-redis: Line 702 is no JSON object (it is an array). Published before it: 700. Correct it and "
        "go on with --from-line 702, or leave it out with --from-line 703.\n"
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    assert answer("publish", "--lines", "-", "--from-line", "601", stdin=path.read_text()) == {
        "lines": 600,
        "added": 500,
        "duplicates": 100,
        "waiting": 0,
        "reason": None,
        "continue_with": None,
        "doubtful_lines": None,
    }
    assert answer("stats", "slack_events")["streams"][0]["length"] == 1200
    assert all(len(line) < 1000 for line in run("audit").stdout.splitlines())
    looked = answer("read", "--order", "oldest", "-n", "2")
    assert [event["payload"]["event"]["n"] for event in looked["events"]] == [0, 1]
    gone = run("publish", "--lines", str(path), REDIS_URL="redis://127.0.0.1:1")
    assert gone.returncode == 1
    assert "Published: 0. Continue with --from-line 1." in gone.stderr
    assert "could not be reached" in gone.stderr


def test_publish_says_why_an_event_waits_in_the_outbox(
    own_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_URL", own_server.url)
    monkeypatch.setenv("REDIS_OUTBOX", str(tmp_path / "outbox"))
    with own_server.admin() as admin:
        admin.config_set("maxmemory", "1")
    full = run("publish", '{"n": 1}')
    assert full.returncode == 0, full.stderr
    assert "slack_events: waits in the outbox as outbox-1 until Redis takes it." in full.stdout
    assert "has no memory left" in full.stdout
    assert "could not be reached" not in full.stdout
    monkeypatch.setenv("REDIS_OUTBOX", str(tmp_path / "another"))  # else it may wait for the first event
    assert "has no memory left" in json.loads(run("publish", '{"n": 2}', "--json").stdout)["reason"]
    assert "of its memory (maxmemory)" in run("stats").stdout
    own_server.stop()
    monkeypatch.setenv("REDIS_OUTBOX", str(tmp_path / "a third"))
    assert "could not be reached" in run("publish", '{"n": 3}').stdout


@pytest.mark.usefixtures("at")
def test_an_empty_event_is_published_with_a_warning(tmp_path: Path) -> None:
    published = run("publish", "{}")
    assert (published.returncode, published.stdout[:23]) == (0, "slack_events: added as ")
    assert published.stderr == "abe-redis: The event is empty ({}): no handler can tell what it is about.\n"
    path = tmp_path / "events.jsonl"
    path.write_text('{}\n{"n": 1}\n{}\n', encoding="utf-8")
    many = run("publish", "--lines", str(path))
    assert (many.returncode, many.stdout) == (0, "3 events published.\n")
    assert many.stderr == "abe-redis: Of these events, 2 are empty ({}).\n"


@pytest.mark.usefixtures("at")
def test_a_first_line_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    beyond = run("publish", "--lines", str(path), "--from-line", "99")
    assert (beyond.returncode, beyond.stdout) == (2, "")
    assert "--from-line is 99, but the file ends at line 2; nothing was published." in beyond.stderr
    assert run("publish", "--lines", str(path), "--from-line", "3").returncode == 0, (
        "all was published before"
    )

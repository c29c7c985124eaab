"""`abe-redis publish --lines` that fails in the middle: who follows its advice adds each event once."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from abe_redis.cli.line_numbers import Interrupted, LineRanges
from abe_redis.schemas import PublishLinesResult
from tests.hosts import forking
from tests.hosts.processes import Child, ended, until
from tests.integration.cli.command_runs import answer, at, run
from tests.servers import Server

__all__ = ["at"]


def write(path: Path, count: int, **more: Any) -> None:
    """Events without an id, one a line and numbered as the lines are; the third line is empty."""
    lines = (
        json.dumps({"type": "message", "channel": f"C{n % 7}", "n": n, **more}) for n in range(1, count + 1)
    )
    path.write_text("".join("\n" if n == 3 else f"{line}\n" for n, line in enumerate(lines, 1)))


def there(server: Server) -> Counter[int]:
    with server.admin() as client:
        streams: Any = client.scan_iter("slack_events*", _type="stream")
        entries = [fields for stream in streams for _, fields in client.xrange(stream)]
    return Counter(json.loads(fields["data"])["n"] for fields in entries)


def options(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The options with which to continue, as stderr has them."""
    (found,) = re.findall(r"(--from-line \d+(?: --skip-lines [\d,-]+)?)\.\n", done.stderr)
    return str(found).split()


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(("count", "bound"), [(60, 20), (300, 130)])
def test_a_stream_that_gets_full(lone_server: Server, tmp_path: Path, count: int, bound: int) -> None:
    path = tmp_path / "events.jsonl"
    write(path, count)
    full = run("publish", "--lines", str(path), REDIS_STREAM_HARD_MAXLEN=str(bound), REDIS_STREAM_MAXLEN="10")
    assert full.returncode == 1
    assert f"Published: {bound}. Continue with --from-line {bound + 2}." in full.stderr
    assert sum(there(lone_server).values()) == bound
    (one,) = answer("audit")["changes"]
    recorded = len(one["facts"]["ids"]) + one["facts"].get("more ids", 0)
    assert recorded == min(bound, 100) + max(0, bound - 100), "what was added is recorded, too"
    rest = run("publish", "--lines", str(path), *options(full))
    assert rest.stdout == f"{count - 1 - bound} events published.\n", rest.stderr
    assert there(lone_server) == Counter(n for n in range(1, count + 1) if n != 3)


@pytest.mark.usefixtures("at")
def test_partitions_that_get_full_one_after_the_other(lone_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 120)
    given, runs, published = ["--skip-lines", "5,118-130"], 0, 0
    for bound in (8, 16, 24, 32, 100):
        done = run(
            *("publish", "--lines", str(path), *given),
            REDIS_STREAM_PARTITIONS="3",
            REDIS_STREAM_HARD_MAXLEN=str(bound),
            REDIS_STREAM_MAXLEN="8",
        )
        if done.returncode == 0:
            break
        given, runs = options(done), runs + 1
        more = sum(there(lone_server).values()) - published
        assert f"Published: {more}. Continue with --from-line" in done.stderr
        published += more
    assert done.returncode == 0, done.stderr
    assert runs > 1
    assert there(lone_server) == Counter(n for n in range(1, 118) if n not in {3, 5})


def test_a_server_without_memory(own_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 1000, text="x" * 10_000)
    with own_server.admin() as admin:
        info: Any = admin.info("memory")
        admin.config_set("maxmemory", info["used_memory"] + 3_000_000)
        full = run("publish", "--lines", str(path), REDIS_URL=own_server.url)
        assert "has no memory left" in full.stderr
        admin.config_set("maxmemory", 0)
    assert f"Published: {sum(there(own_server).values())}." in full.stderr
    assert 0 < sum(there(own_server).values()) < 999
    rest = run("publish", "--lines", str(path), *options(full), REDIS_URL=own_server.url)
    assert rest.returncode == 0, rest.stderr
    assert there(own_server) == Counter(n for n in range(1, 1001) if n != 3)


@pytest.mark.usefixtures("at")
def test_a_line_that_no_stream_takes(lone_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    deep = '{"n": 5, "a": ' + "[" * 120 + "]" * 120 + "}\n"
    path.write_text("".join(deep if n == 5 else f'{{"n": {n}}}\n' for n in range(1, 10)))
    done = run("publish", "--lines", str(path))
    assert done.returncode == 1
    assert "Published: 4. Continue with --from-line 5.\n" in done.stderr
    assert "Line 5 was not published. The payload is nested more than 100 levels deep" in done.stderr
    assert "leave it out with --from-line 6." in done.stderr
    assert run("publish", "--lines", str(path), "--from-line", "6").returncode == 0
    assert there(lone_server) == Counter(n for n in range(1, 10) if n != 5)


@pytest.mark.usefixtures("not_under_nohup")
def test_who_does_not_wait_for_the_answer_learns_which_lines_are_doubtful(
    own_server: Server, tmp_path: Path
) -> None:
    child = Child(
        [*forking.ours(), "-m", "abe_redis", "publish", "--lines", "-"],
        cwd=tmp_path,
        variables=os.environ | {"REDIS_URL": own_server.url},
        stderr=tmp_path / "stderr",
    )
    with ended([child]):
        child.send('{"n": 1}')
        until(lambda: there(own_server) == {1: 1}, "a line to be published")
        own_server.freeze()
        child.send('{"n": 2}')
        child.process.send_signal(signal.SIGINT)
        child.process.send_signal(signal.SIGINT)
        child.wait()
        own_server.thaw()
        length = sum(there(own_server).values())
        certain = f"Published: {length}. Continue with --from-line {length + 1}."
        doubtful = [  # whether the child has read the answer for line 1 when it is interrupted is chance
            f"Published: {known}. Line {known + 1} may be published, too: `abe-redis read` shows it. "
            f"If so, continue with --from-line {known + 2}; if not, continue with --from-line {known + 1}."
            for known in (length - 1, length)
        ]
        assert any(advice in child.stderr for advice in [certain, *doubtful]), child.stderr


def test_of_several_doubtful_lines_the_first_may_be_there() -> None:
    doubtful = range(5, 9)
    at = Interrupted(doubtful, 9, frozenset(), frozenset(doubtful), LineRanges())
    assert at.advice(PublishLinesResult()) == (
        "Published: 0. Lines 5-8 may be published, too, all or the first of them: `abe-redis read` shows the "
        "last one that is. Continue behind it: with --from-line 9 if all are, with --from-line 5 if none is. "
        "A Slack envelope is added only once in any case."
    )


@pytest.mark.parametrize("wrong", [" ", "0", "a", "4-2", "1,,2", "-3", "3-", "²"])
def test_what_is_no_list_of_lines_is_refused(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 5)
    done = run("publish", "--lines", str(path), f"--skip-lines={wrong}")
    assert done.returncode == 2
    assert "numbers of lines and ranges of them, such as 22-40,45." in done.stderr

"""`group list` shows whole names; `group reset` and `group replay` say first how many events come again."""

import json
import os
import pty
import subprocess
from typing import Any

import pytest
import redis as redis_py

from tests.command_line import run_command
from tests.hosts import forking
from tests.patience import PATIENCE
from tests.servers import Server

TOPIC = "slack_events"


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    """A group that has finished four events, of which one was for another group."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    redis = server.admin()
    for number in range(1, 6):
        fields: dict[Any, Any] = {"data": "{}"} | ({"abe:only": "audit"} if number == 2 else {})
        redis.xadd(TOPIC, fields, id=f"{number}-0")
    redis.xgroup_create(TOPIC, "bot", "0")
    redis.xreadgroup("bot", "c", {TOPIC: ">"}, count=4)
    redis.xack(TOPIC, "bot", *[f"{number}-0" for number in range(1, 5)])
    return redis


def state(redis: redis_py.Redis) -> tuple[object, ...]:
    (group,) = redis.xinfo_groups(TOPIC)
    return group["last-delivered-id"], group["pending"], redis.xlen("abe:audit")


def test_a_dry_run_counts_what_comes_again_and_changes_nothing(redis: redis_py.Redis) -> None:
    before = state(redis)
    for line, number in {
        "reset slack_events bot --force --from beginning": 3,
        "reset slack_events bot --force --from now": 0,
        "replay slack_events bot --from beginning": 3,
        "replay slack_events bot --from now": 0,
    }.items():
        done = run_command("group", *line.split(), "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["again"], told["done"], told["dry_run"]) == (number, "nothing", True), line
    redis.xreadgroup("bot", "c", {TOPIC: ">"})
    redis.xack(TOPIC, "bot", "5-0")
    beginning = (TOPIC, "bot", "--from", "beginning", "--dry-run")
    assert "4 events come again" in run_command("group", "reset", *beginning).stdout
    redis.xclaim(TOPIC, "bot", "c", 0, ["3-0"], force=True)
    said = run_command("group", "replay", *beginning).stdout
    assert "3 events would be delivered again" in said, "not the one that is not finished"
    would = run_command("group", "reset", *beginning)
    assert would.returncode == 0, "a dry run needs no --force"
    assert "it lets go of 1 pending event (with --force)" in would.stdout
    refused = run_command("group", "reset", *beginning[:-1])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has 1 pending event to finish" in refused.stderr
    assert state(redis)[2] == before[2], "no change is recorded"


@pytest.mark.parametrize("what", ["reset", "replay"])
@pytest.mark.parametrize("reply", ["y", "n"])
def test_on_a_terminal_it_says_how_many_come_again_and_asks(
    what: str, reply: str, redis: redis_py.Redis
) -> None:
    redis.xdel(TOPIC, "5-0")
    before = state(redis)
    keyboard, terminal = pty.openpty()
    command = [*forking.ours(), "-m", "abe_redis", "group", what, TOPIC, "bot", "--from", "beginning"]
    with subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        assert asking.stderr is not None
        said = b""
        while b"[y/N]" not in said:
            said += os.read(asking.stderr.fileno(), 1000) or pytest.fail(said.decode())
        assert b"3 events" in said
        assert state(redis) == before, "it has not begun"
        os.write(keyboard, f"{reply}\n".encode())
        out, _ = asking.communicate(timeout=PATIENCE)
    os.close(keyboard)
    os.close(terminal)
    assert asking.returncode == (0 if reply == "y" else 1), out
    assert (state(redis) != before) == (reply == "y")


@pytest.mark.parametrize("what", ["reset", "replay"])
def test_a_script_is_not_asked_and_told_how_many_come_again(what: str, redis: redis_py.Redis) -> None:
    redis.xdel(TOPIC, "5-0")
    done = run_command("group", what, TOPIC, "bot", "--from", "beginning")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 events" in done.stdout
    assert run_command("group", what, TOPIC, "bot", "--from", "beginning", "--yes").returncode == 0


def test_the_list_of_groups_breaks_no_name_at_80_columns(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    redis.xadd(f"{TOPIC}:p1", {"data": "{}"}, id="1-0")
    redis.xgroup_create(f"{TOPIC}:p1", "workers", "0")
    redis.xgroup_createconsumer(f"{TOPIC}:p1", "workers", "mcp-host-1")
    said = run_command("group", "list").stdout
    assert f"{TOPIC}:p1" in said
    assert "workers" in said
    assert all(len(line) <= 80 for line in said.splitlines())

"""The commands that advice names do what it says, run as they stand, also for groups named like options."""

import re
import shlex

import pytest
import redis as redis_py

from tests.command_line import run_command
from tests.servers import Server

TOPIC = "slack_events"


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "200")
    redis = server.admin()
    redis.xadd(TOPIC, {"data": "{}"})
    return redis


@pytest.mark.parametrize("group", ["bot", "--force", "-h", "it's"])
def test_the_advised_removal_says_what_it_gives_up_and_how(redis: redis_py.Redis, group: str) -> None:
    redis.xgroup_create(TOPIC, group, "0")
    advice = run_command("stats", TOPIC).stdout
    (command,) = re.findall(
        r"`abe-redis (group remove [^`]*)` says what removing it gives up, and how", advice
    )
    done = run_command(*shlex.split(command))
    assert done.returncode == 1
    assert f"Group {group!r} of '{TOPIC}' has 0 pending and 1 undelivered events" in done.stderr
    assert "force it (--force), which gives them up" in done.stderr
    assert len(redis.xinfo_groups(TOPIC)) == 1


@pytest.mark.parametrize("group", ["bot", "--force", "-h"])
def test_the_advised_commands_about_a_lease_take_no_name_for_an_option(
    redis: redis_py.Redis, group: str
) -> None:
    said = run_command("read", TOPIC, f"--group={group}", "--create-group").stdout
    (ack,) = re.findall(r"When done: abe-redis (.*)", said)
    done = run_command(*shlex.split(ack))
    assert (done.returncode, done.stderr) == (0, "")
    assert redis.xpending(TOPIC, group)["pending"] == 0

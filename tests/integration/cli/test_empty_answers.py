"""An empty answer says of how many nothing matches; a name that is mistyped is no empty answer."""

import json
import os
import pty
import subprocess
from typing import Any

import pytest
import redis as redis_py

from tests.hosts import forking
from tests.integration.cli.command_runs import answer, run
from tests.patience import PATIENCE
from tests.servers import Server

TOPIC, DEAD = "slack_events", "dead:{slack_events}"
IDS = [f"179590097200{number}-0" for number in range(3)]


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    """Three events of one person, a group that gave up on the first, and another group."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    redis = server.admin()
    event = json.dumps({"type": "message", "user": "U1", "channel": "C1", "text": "hi", "ts": "1.1"})
    for one in IDS:
        redis.xadd(TOPIC, {"data": event}, id=one)
    redis.xgroup_create(TOPIC, "audit", "0")
    redis.xgroup_create(TOPIC, "late", "0")
    bury(IDS[0])
    return redis


def bury(entry_id: str) -> subprocess.CompletedProcess[str]:
    return run("dead", "bury", TOPIC, entry_id, "--group", "audit", "--reason", "gone")


def says(line: str, words: str, code: int = 0) -> None:
    result = run(*line.split())
    assert result.returncode == code, (line, result.stderr)
    assert words in (result.stderr if code else result.stdout), line


def test_of_how_many_nothing_matches(redis: redis_py.Redis) -> None:
    for name in ("list", "summary"):
        says(f"dead {name} {TOPIC} --reason zzz", "The only dead letter does not match.")
    bury(IDS[1])
    for name in ("list", "summary"):
        says(f"dead {name} {TOPIC} --reason zzz", "None of 2 dead letters matches.")
    assert answer("dead", "summary", TOPIC, "--reason", "zzz")["in_streams"] == 2
    says("count --event-type zzz", f"None of the 3 events of {TOPIC}, finished ones included, matches; all")
    says("count --dead --contains zzz", f"None of the 2 dead letters of {TOPIC} matches; all were")
    says("count --user @bob", "'bob' is no user id of Slack's, such as")
    says("read --until 2024-01-01", "No event here lies in that time.")
    says("read --since 2099-01-01", "It begins later than now: the server's clock says 20")


def test_dead_letters_are_counted_by_the_group_that_gave_up(redis: redis_py.Redis) -> None:
    says("count --dead --group audit", f"1 dead letter of {TOPIC} of group audit; all were looked at.")
    says("count --by reason --group late", f"The only dead letter of {TOPIC} of group late does not match;")


@pytest.mark.parametrize(
    "line", ["list", "summary", "redrive", "purge --yes", "list --json", "purge --dry-run"]
)
def test_a_group_that_nobody_knows_is_not_an_empty_answer(redis: redis_py.Redis, line: str) -> None:
    says(
        f"dead {line} -s {TOPIC} --group nogroup", f"There is no group 'nogroup' of '{TOPIC}'. Known are:", 1
    )
    says(f"dead {line} -s {TOPIC} --group late", "")
    redis.xgroup_destroy(TOPIC, "audit")
    says(f"dead {line} -s {TOPIC} --group audit", "")


def test_a_stream_without_changes_is_there_or_named(redis: redis_py.Redis) -> None:
    redis.xadd("slack:quiet", {"data": "{}"})
    says("audit --stream slack:quiet", "No change matches.")
    says("audit --stream slack:quite", "Did you mean 'slack:quiet'?", 1)
    redis.delete(TOPIC, DEAD)
    says(f"audit --stream {TOPIC}", "bury")


def test_all_and_a_filter_contradict_each_other(redis: redis_py.Redis) -> None:
    says(
        f"dead redrive {TOPIC} --all --reason zzz",
        "--all means every dead letter of the stream: leave it out",
        2,
    )


def test_an_event_that_was_buried_before_names_its_dead_letter(redis: redis_py.Redis) -> None:
    (letter,) = answer("dead", "list", TOPIC)["letters"]
    again = bury(IDS[0])
    assert again.returncode == 1
    assert (
        f"Its dead letter is {letter['id']}: `abe-redis dead show {letter['id']}` shows it." in again.stderr
    )


def test_a_destroyed_group_has_a_state(redis: redis_py.Redis) -> None:
    run("read", "-g", "audit")
    redis.xgroup_destroy(TOPIC, "audit")
    (line,) = [one for one in run("group", "list").stdout.splitlines() if "audit" in one]
    assert "destroyed" in line


def test_an_entry_id_is_a_point_however_short_it_is_and_a_month_is_none(redis: redis_py.Redis) -> None:
    assert len(answer("read", "--since", "1-1")["events"]) == 3
    says("read --since 2026-01", "'2026-01' is no point in a stream", 2)


@pytest.mark.parametrize(("delay", "said"), [("1h30m", "in 1h30m"), ("0", "1 given back.\n")])
def test_durations(redis: redis_py.Redis, delay: str, said: str) -> None:
    run("read", "-g", "late", "-n", "1")
    says(f"release {TOPIC} {IDS[0]} -g late --delay {delay}", said)


def test_the_audit_says_yes_and_no_in_words(redis: redis_py.Redis) -> None:
    run("group", "remove", TOPIC, "late", "--force")
    says("audit -n 1", "force: yes")


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        (f"dead purge {TOPIC} --all", f"Remove 1 dead letter of {TOPIC} for good?"),
        ("erase --user U1", "Erase 4 events of U1 for good (3 unfinished)?"),
    ],
)
def test_what_cannot_be_undone_is_counted_before_the_question(
    redis: redis_py.Redis, line: str, asks: str
) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    process: Any = subprocess.run(
        [*forking.ours(), "-m", "abe_redis", *line.split()],
        stdin=theirs, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 1
    assert asks in process.stderr
    assert process.stderr.endswith("abe-redis: Nothing was changed.\n")
    assert (redis.xlen(TOPIC), redis.xlen(DEAD)) == (3, 1)

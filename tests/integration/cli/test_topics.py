"""A topic with a stream of its own and partitions: a look shows all, and a change names what it leaves."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.command_line import run_command
from tests.hosts import forking
from tests.hosts.processes import Child, until
from tests.servers import Server

TOPIC, PARTS = "slack_events", ["slack_events:p0", "slack_events:p1"]
ONLY_PARTS = "slack:parts"


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = server.admin()
    for stream in (TOPIC, *PARTS, f"{ONLY_PARTS}:p0", f"{ONLY_PARTS}:p1"):
        client.xadd(stream, {"data": json.dumps({"type": "message", "user": "U061F7AUR"})}, id="1-1")
        client.zadd("abe:streams", {stream: 1})
    for stream in (TOPIC, *PARTS):
        client.xgroup_create(stream, "bot", "0")
    return client


def bury(redis: redis_py.Redis, stream: str, number: int) -> None:
    for one in range(1, number + 1):
        redis.xadd(
            f"dead:{{{stream}}}",
            {"data": "{}", "abe:reason": "no", "abe:group": "bot", "abe:id": "1-1"},
            id=f"9-{one}",
        )


def run(*arguments: str, code: int = 0) -> str:
    done = run_command(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def asked(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run_command(*arguments, "--json").stdout)
    return answer


@pytest.mark.usefixtures("redis")
def test_stats_and_groups_of_a_topic_are_those_of_its_partitions_too() -> None:
    for topic, own in ((TOPIC, [TOPIC]), (ONLY_PARTS, [])):
        streams = asked("stats", topic)["streams"]
        assert sorted(one["stream"] for one in streams) == [*own, f"{topic}:p0", f"{topic}:p1"]
    assert [one["stream"] for one in asked("group", "list", TOPIC)["groups"]] == [TOPIC, *PARTS]
    assert [one["stream"] for one in asked("stats", PARTS[0])["streams"]] == PARTS[:1]
    assert "No group exists yet" in run("group", "list", ONLY_PARTS)


def test_dead_letters_of_a_topic_are_shown_with_those_of_its_partitions(redis: redis_py.Redis) -> None:
    bury(redis, PARTS[0], 2)
    assert [one["stream"] for one in asked("dead", "list", TOPIC)["letters"]] == [PARTS[0]] * 2
    assert [one["count"] for one in asked("dead", "summary", TOPIC)["kinds"]] == [2]
    assert PARTS[0] in run("dead", "show", "9-1", "--stream", TOPIC)
    first = asked("dead", "list", TOPIC, "-n", "1")
    assert first["next_start"] == f"9-1@{PARTS[0]}"
    bury(redis, f"{ONLY_PARTS}:p1", 1)
    assert [one["stream"] for one in asked("dead", "list", ONLY_PARTS)["letters"]] == [f"{ONLY_PARTS}:p1"]


@pytest.mark.parametrize("what", ["redrive", "purge"])
def test_a_change_of_dead_letters_says_what_the_partitions_keep(redis: redis_py.Redis, what: str) -> None:
    bury(redis, TOPIC, 1)
    bury(redis, PARTS[1], 2)
    yes = ("--yes",) * (what == "purge")
    kept = (
        f"Its partitions have dead letters of their own, which stay: '{PARTS[1]}' (2 dead letters). "
        f"For these: `abe-redis dead {what} {PARTS[1]}` with the same choice."
    )
    assert kept in run("dead", what, TOPIC, "--all", "--dry-run")
    assert asked("dead", what, TOPIC, "--all", *yes)["note"] == kept
    assert kept in run("dead", what, TOPIC, "9-2", *yes, code=1), "the id may be one of theirs"
    told = run("dead", what, ONLY_PARTS, "--all", *yes, code=1)
    assert f"Name one: `abe-redis dead {what} {ONLY_PARTS}:p0` with the same choice." in told


def test_a_change_of_a_group_says_where_it_is_still_to_be_made(redis: redis_py.Redis) -> None:
    redis.xreadgroup("bot", "worker-1", {PARTS[0]: ">"})
    listed = f"'{PARTS[0]}' (1 pending, 0 not delivered), '{PARTS[1]}' (0 pending, 1 not delivered)"
    for line, said in (
        ("pause", f"It is not paused in {listed}: `abe-redis group pause {PARTS[0]} bot`, and so for each."),
        ("reset --from now --force", f"It stays where it is in {listed}: `abe-redis group reset"),
        ("replay --from beginning --until now", f"It gets nothing again from {listed}: `abe-redis group"),
        ("remove --force", f"It is still there in {listed}: `abe-redis group remove {PARTS[0]} bot`"),
        ("create --from now", None),
    ):
        what, *options = line.split()
        told = run("group", what, TOPIC, "bot", *options)
        assert said is None or said in told
    assert "`abe-redis group reset slack_events:p0 bot --from now`" in run(
        "group", "reset", TOPIC, "bot", "--from", "now", "--dry-run"
    )
    run("group", "pause", PARTS[0], "bot")
    told = run("group", "resume", TOPIC, "bot")
    assert f"It is still paused in '{PARTS[0]}' (1 pending, 0 not delivered): `abe-redis group" in told
    assert "not paused" not in run("group", "pause", PARTS[1], "bot"), "a partition has none"
    run("group", "create", TOPIC, "elsewhere")
    told = run("group", "pause", TOPIC, "elsewhere")
    lack = ", ".join(f"'{part}' (1 entry, without the group)" for part in PARTS)
    assert (
        f"It is not paused in {lack}: `abe-redis group pause {PARTS[0]} elsewhere`, and so for each." in told
    )
    assert f"Its partitions have events of their own, too: {lack}." in run(
        "read", TOPIC, "--waiting", "--group", "elsewhere"
    )
    made = run("group", "create", TOPIC, "audit")
    assert f"It was not made in '{PARTS[0]}' (1 entry), '{PARTS[1]}' (1 entry): `abe-redis group" in made
    run("group", "create", PARTS[0], "late")
    refused = run("group", "reset", TOPIC, "late", "--from", "now", code=1)
    assert "Partitions that have it: 'slack_events:p0' (0 pending, 1 not delivered)." in refused


@pytest.mark.usefixtures("redis")
def test_a_refusal_of_a_topic_that_is_only_partitions_offers_the_command_that_was_typed() -> None:
    spread = f"'{ONLY_PARTS}' is spread over partitions, which are streams of their own: "
    for line, instead in (
        ("group create {} bot --from now", "`abe-redis group create {}:p0 bot --from now`"),
        ("group pause {} bot", "`abe-redis group pause {}:p0 bot`"),
        ("group resume {} bot", "`abe-redis group resume {}:p0 bot`"),
        ("group remove {} bot", "`abe-redis group remove {}:p0 bot`"),
        ("group reset {} bot --from now", "`abe-redis group reset {}:p0 bot --from now`"),
        ("group replay {} bot --from 2h", "`abe-redis group replay {}:p0 bot --from 2h --to now`"),
        ("ack {} 1-1 --group bot", "`abe-redis read --event-id 1-1` says which has the event"),
        ("release {} 1-1 --group bot", "`abe-redis read --event-id 1-1` says which has the event"),
        ("dead bury {} 1-1 -g bot --reason no", "`abe-redis read --event-id 1-1` says which has the event"),
    ):
        told = run(*line.format(ONLY_PARTS).split(), code=1)
        assert told.startswith(f"abe-redis: {spread}")
        assert f"Name one: {instead.format(ONLY_PARTS)}." in told
        assert ("add --create-stream" in told) == (line.split()[1] in {"create", "pause"})


def test_an_event_and_the_changes_of_a_topic_are_searched_in_its_partitions_too(
    redis: redis_py.Redis,
) -> None:
    entry_id = "1732000000000-0"
    for part, event_id in ((PARTS[1], "Ev7"), (f"{ONLY_PARTS}:p1", "Ev8")):
        redis.xadd(part, {"data": json.dumps({"event_id": event_id, "type": "message"})}, id=entry_id)
    for sought in ("Ev7", entry_id):
        assert f"stream {PARTS[1]}" in run("read", TOPIC, "--event-id", sought)
    assert "No event" in run("read", PARTS[0], "--event-id", entry_id, code=1)
    assert f"stream {ONLY_PARTS}:p1" in run("read", ONLY_PARTS, "--event-id", "Ev8")
    run("group", "pause", PARTS[1], "bot")
    assert PARTS[1] in run("audit", "--stream", TOPIC)
    assert "No change" in run("audit", "--stream", ONLY_PARTS)
    assert "No change" in run("audit", "--stream", PARTS[0])
    assert "does not exist" in run("audit", "--stream", "slack:mistyped", code=1)


def test_erase_of_a_topic_takes_its_partitions_with_it(redis: redis_py.Redis) -> None:
    for topic, number in ((TOPIC, 3), (ONLY_PARTS, 2)):
        streams = asked("erase", "--user", "U061F7AUR", "--stream", topic, "--yes")["streams"]
        assert sum(one["erased"] for one in streams) == number
    assert [redis.xlen(one) for one in (TOPIC, *PARTS)] == [0, 0, 0]


def test_read_says_what_the_partitions_hold(redis: redis_py.Redis) -> None:
    each = f"'{PARTS[0]}' (1 entry), '{PARTS[1]}' (1 entry). Name one;"
    assert f"Its partitions have events of their own, too: {each}" in run("read", TOPIC)
    redis.xreadgroup("bot", "worker-1", {PARTS[0]: ">"})
    redis.xack(PARTS[0], "bot", "1-1")
    waiting = run("read", TOPIC, "--group", "bot", "--waiting")
    assert f"too: '{PARTS[1]}' (0 pending, 1 not delivered). Name one;" in waiting
    assert "partitions" not in run("read", TOPIC, "--group", "bot"), "it has what was asked for"
    assert f"too: '{PARTS[1]}' (0 pending, 1 not delivered). Name one;" in run(
        "read", TOPIC, "--group", "bot"
    )


def test_a_user_of_redis_who_may_not_see_a_partition_changes_its_topic(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    bury(redis, TOPIC, 1)
    mine = ["slack_events", "dead:{slack_events}", "abe:*"]
    redis.acl_setuser("own", enabled=True, passwords=["+pw"], keys=mine, categories=["+@all"])
    try:
        monkeypatch.setenv("REDIS_URL", redis_url.replace("redis://", "redis://own:pw@"))
        monkeypatch.setenv("REDIS_STREAM_PATTERNS", TOPIC)
        hidden = "'slack_events:p0' (not shown to this user of Redis)"
        assert hidden in asked("dead", "redrive", TOPIC, "--all")["note"]
        assert hidden in run("read", TOPIC)
        assert [one["stream"] for one in asked("stats", TOPIC)["streams"]] == [TOPIC]
        assert "paused" in run("group", "pause", TOPIC, "bot")
    finally:
        redis.acl_deluser("own")


def follow(tmp_path: Path, *arguments: str, says: str) -> None:
    """Follow a stream until stderr says something, and then end it."""
    command = [*forking.ours(), "-m", "abe_redis", "read", *arguments, "--follow"]
    told = tmp_path / "_".join(arguments).replace(":", "_")
    with Child(command, cwd=tmp_path, variables=os.environ, stderr=told) as child:
        until(lambda: says in " ".join(told.read_text("utf-8").split()), says)
        child.signal(signal.SIGINT)
        assert child.wait() == 0


@pytest.mark.usefixtures("redis")
def test_who_follows_hears_at_once_what_is_not_there_and_what_is_left_out(tmp_path: Path) -> None:
    told = run("read", ONLY_PARTS, "--follow", code=1)
    assert f"is spread over partitions, which are streams of their own: '{ONLY_PARTS}:p0'" in told
    assert f"Name one: `abe-redis read {ONLY_PARTS}:p0 --follow`." in told
    says = "abe-redis: The stream 'slack:part' does not exist (yet). Did you mean"
    follow(tmp_path, "slack:part", says=says)
    follow(tmp_path, "slack:part", "--start", "1-1", says="Waiting for its first event.")
    says = f"Only '{TOPIC}' is followed, without its partitions '{PARTS[0]}', '{PARTS[1]}': `abe-redis read"
    follow(tmp_path, TOPIC, says=says)

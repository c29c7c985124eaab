"""What people are told where they do not get what they asked for: the truth, and the next step."""

import json

import pytest
import redis as redis_py

from tests.command_line import run_command
from tests.integration.agents import said
from tests.servers import Server

TOPIC = "slack_events"
IDS = [f"173200000000{number}-0" for number in range(1, 7)]


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = server.admin()
    for number, one in enumerate(IDS, 1):
        client.xadd(TOPIC, {"data": json.dumps(said(number))}, id=one)
    client.xgroup_create(TOPIC, "bot", "0")
    return client


def run(*arguments: str, code: int = 0) -> str:
    done = run_command(*arguments)
    assert done.returncode == code, done.stderr
    return " ".join((done.stdout + done.stderr).split())


def lag(*more: str) -> int | None:
    (stream,) = json.loads(run_command("stats", *more, "--json").stdout)["streams"]
    number: int | None = stream["groups"][0]["lag"]
    return number


def test_events_behind_a_removed_one_are_counted(redis: redis_py.Redis) -> None:
    redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=2)
    redis.xdel(TOPIC, IDS[3])
    assert redis.xinfo_groups(TOPIC)[0]["lag"] is None
    assert (lag(TOPIC), lag()) == (3, 3)
    assert "3 not delivered yet" in run("stats", TOPIC)
    assert "?" not in run("group", "list")
    read = json.loads(run_command("read", TOPIC, "--json").stdout)
    assert [one["lag"] for one in read["groups"]] == [3]
    redis.xdel(TOPIC, IDS[2], *IDS[4:])
    assert (lag(TOPIC), lag()) == (0, 0)


def test_why_too_many_are_not_counted_is_said(redis: redis_py.Redis) -> None:
    redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=2)
    for _ in range(101):
        redis.xadd(TOPIC, {"data": "{}"})
    redis.xdel(TOPIC, IDS[3])
    assert (lag(TOPIC), lag()) == (104, None)
    why = "Redis knows the number again when the group has been given as far as the last removed one"
    assert why in run("stats")
    assert why in run("group", "list")


def test_the_partitions_of_a_topic_are_shown_or_named_with_what_shows_them(redis: redis_py.Redis) -> None:
    for part in ("slack:orders:p0", "slack:orders:p1"):
        redis.xadd(part, {"data": "{}"})
    shown = json.loads(run_command("stats", "slack:orders", "--json").stdout)["streams"]
    assert sorted(one["stream"] for one in shown) == ["slack:orders:p0", "slack:orders:p1"]
    for line in ("read slack:orders", "read slack:orders --waiting", "read slack:orders -g bot"):
        told = run(*line.split(), code=1)
        assert "'slack:orders:p0', 'slack:orders:p1'. Name one; `abe-redis stats slack:orders` shows" in told
    redis.xadd("slack:none", {"data": "{}"})
    assert "does not exist" in run("stats", "slack:nothing", code=1)


def test_a_replay_names_the_dead_letters_that_must_not_be_redriven_as_well(redis: redis_py.Redis) -> None:
    redis.xreadgroup("bot", "worker-1", {TOPIC: ">"})
    redis.xack(TOPIC, "bot", *IDS)
    for number, group in ((0, "bot"), (1, "other"), (2, "bot")):
        redis.xadd(
            "dead:{slack_events}",
            {"data": "{}", "abe:reason": "no", "abe:group": group, "abe:id": IDS[number]},
        )
    replay = ("group", "replay", TOPIC, "bot", "--from", IDS[0])
    told = run(*replay, "--to", IDS[1], "--dry-run")
    assert "2 events would be delivered again. One of them has a dead letter of this group, too" in told
    assert "(`abe-redis dead list slack_events --group bot`)" in told
    assert "dead letter" not in run(*replay[:-1], IDS[3], "--dry-run")
    assert run(*replay, "--to", IDS[0]).endswith("would deliver that event twice.")
    change = json.loads(run_command(*replay, "--json").stdout)
    assert (change["events"], change["dead_letters"]) == (5, 1), "the first waits already"


def test_slacks_id_where_an_entry_id_is_wanted_names_the_command_that_finds_it(redis: redis_py.Redis) -> None:
    assert redis.ping()
    for line in (f"release {TOPIC} Ev08GEN --group bot", f"ack {TOPIC} Ev08GEN --group bot"):
        assert "`abe-redis read --event-id Ev08GEN` finds its entry" in run(*line.split(), code=2)
    assert "--event-id" not in run("release", TOPIC, "oops", "--group", "bot", code=2)


def test_a_dead_letters_id_where_an_events_id_is_wanted_names_the_command_that_shows_it(
    redis: redis_py.Redis,
) -> None:
    redis.xadd("dead:{slack_events}", {"data": "{}", "abe:reason": "no", "abe:group": "bot"}, "7-0")
    for more in ((), (TOPIC,)):
        told = run("read", *more, "--event-id", "7-0", code=1)
        assert told == "abe-redis: 7-0 is the id of a dead letter: `abe-redis dead show 7-0` shows it."
    assert "dead letter" not in run("read", "--event-id", "8-0", code=1)


def test_a_stream_in_the_place_of_the_event_is_recognized(redis: redis_py.Redis) -> None:
    assert redis.ping()
    assert "If 'slack_events' is the stream, give it with --stream." in run("publish", TOPIC, code=2)
    assert "publish takes one argument, the event in single quotes" in run("publish", TOPIC, "{}", code=2)
    assert "with --stream." not in run("publish", '{"type":', code=2)
    assert "- reads it from stdin" in run("publish", code=2)


def test_one_event_is_its_and_a_paused_groups_events_can_be_seen(redis: redis_py.Redis) -> None:
    assert redis.ping()
    run("read", TOPIC, "--group", "bot", "-n", "2")
    assert "1 given back. Its next delivery is in 2m." in run(
        "release", TOPIC, IDS[0], "--group", "bot", "--delay", "2m"
    )
    run("group", "pause", TOPIC, "bot")
    paused = run("read", TOPIC, "--group", "bot", code=1)
    assert "`abe-redis read slack_events --group bot --waiting` shows what waits in it." in paused
    assert "1 of 1 person" in run("group", "list"), "a person's shell is no worker"

"""`read --event-id`: one event, and how far each group is with it."""

import json

import pytest
import redis as redis_py

from abe_redis.streams import names
from tests.command_line import run_command
from tests.integration.agents import said
from tests.servers import Server

TOPIC = "slack_events"


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = server.admin()
    for number in range(1, 4):
        client.xadd(TOPIC, {"data": json.dumps(said(number))}, id=f"173200000000{number}-0")
    client.xgroup_create(TOPIC, "bot", "0")
    client.xgroup_create(TOPIC, "audit", "0")
    client.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=2)
    client.xack(TOPIC, "bot", "1732000000001-0")
    return client


def test_the_id_of_an_entry_may_be_as_short_as_elsewhere_unless_an_event_has_it(
    redis: redis_py.Redis,
) -> None:
    redis.xadd("slack:other", {"data": json.dumps(said(9))}, id="17-1")
    for given, entry_id in {"1732000000002": "1732000000002-0", "17-1": "17-1"}.items():
        assert run_command("read", "--event-id", given).stdout.startswith(f"{entry_id}  "), given
    redis.xadd("slack:other", {"data": json.dumps(said(10) | {"event_id": "1732000000002"})}, id="18-0")
    assert run_command("read", "--event-id", "1732000000002").stdout.startswith("18-0  ")
    assert run_command("read", "--event-id", "1732000000009").returncode == 1


@pytest.mark.parametrize("where", [[], [TOPIC]])
def test_an_event_is_found_by_either_id_with_the_state_of_each_group(
    redis: redis_py.Redis, where: list[str]
) -> None:
    by_slack = run_command("read", *where, "--event-id", "Ev2")
    assert (by_slack.returncode, by_slack.stderr) == (0, "")
    first, *rest = by_slack.stdout.splitlines()
    assert first.startswith("1732000000002-0  ")
    assert "  stream slack_events" in rest
    assert "  group audit: not delivered yet" in rest
    assert any(line.startswith("  group bot: delivery 1, held by worker-1 for ") for line in rest)
    assert rest[-1] == "Nothing was changed."
    done = run_command("read", *where, "--event-id", "1732000000001-0")
    assert (
        "  group bot: done, unless the group began after it or was moved past it" in done.stdout.splitlines()
    )
    found = json.loads(run_command("read", *where, "--event-id", "Ev2", "--json").stdout)
    assert {one["group"]: one["state"] for one in found["handled"]} == {
        "audit": "undelivered",
        "bot": "held",
    }
    assert (found["length"], [one["name"] for one in found["groups"]]) == (3, ["audit", "bot"])
    assert found["events"][0]["stream"] == TOPIC


def test_each_state_of_an_event_has_its_words(redis: redis_py.Redis) -> None:
    redis.xgroup_delconsumer(TOPIC, "bot", "worker-1")
    assert run_command("read", TOPIC, "--group", "audit", "-n", "3").returncode == 0
    ids = [f"173200000000{number}-0" for number in range(1, 4)]
    assert run_command("release", TOPIC, ids[0], "--group", "audit").returncode == 0
    assert run_command("release", TOPIC, ids[1], "--group", "audit", "--delay", "15m").returncode == 0
    bury = ("--group", "audit", "--reason", "spam")
    buried = run_command("dead", "bury", TOPIC, ids[2], *bury)
    assert buried.returncode == 0, buried.stderr
    shown = [run_command("read", "--event-id", one).stdout for one in ids]
    assert "group audit: free: the next consumer gets it" in shown[0]
    assert "group audit: no delivery counted, postponed until " in shown[1]
    assert "group audit: given up on" in shown[2]
    assert "finished it since; see `abe-redis dead show " in shown[2], "nobody noted who made the group"


def test_an_event_that_is_overdue_is_not_said_to_be_postponed(redis: redis_py.Redis) -> None:
    redis.zadd(names.due(TOPIC, "bot"), {"1732000000002-0": 1732000100000})
    for line in (
        f"read {TOPIC} --group bot --pending",
        f"read {TOPIC} -g bot --waiting",
        "read --event-id Ev2",
    ):
        said = run_command(*line.split()).stdout
        assert "was due at 2024-11-19 07:08:20 UTC; a worker takes it when one runs" in said, line
        assert "postponed until" not in said
    assert "1732000000002-0  2024-11-19 07:06:40 UTC  " in said


def test_what_is_not_there_is_said(redis: redis_py.Redis) -> None:
    result = run_command("read", "--event-id", "Ev9")
    assert (result.returncode, result.stdout) == (1, ""), "so that a script can tell"
    assert result.stderr.startswith("abe-redis: No event of the id 'Ev9' is remembered")
    as_json = run_command("read", "--event-id", "Ev9", "--json")
    assert (as_json.returncode, json.loads(as_json.stdout)["events"]) == (1, [])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--group", "bot"], "combine it only with a stream and --json"),
        (["--follow"], "combine it only with a stream and --json"),
        (["--event-type", "message", "--since", "2h"], "leave out --event-type, --since"),
        (["--event-id", "Ev2"], "it is given more than once"),
        (["--contains", ""], "it is empty"),
    ],
)
def test_what_cannot_be_combined_is_refused(redis: redis_py.Redis, more: list[str], says: str) -> None:
    result = run_command("read", "--event-id", "Ev1", *more)
    assert (result.returncode, result.stdout) == (2, "")
    assert says in " ".join(result.stderr.replace("\u2502", " ").split())

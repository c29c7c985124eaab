"""`dead bury`: one true line in the audit, true counts, and nothing else that need not be."""

import json

import pytest
import redis as redis_py

from abe_redis.streams import names
from tests.command_line import run_command
from tests.integration.agents import said
from tests.servers import Server

TOPIC, DEAD = "slack_events", names.dead_letters("slack_events")
IDS = [f"173200000000{number}-0" for number in range(1, 5)]
REASON = ("--group", "bot", "--reason", "its file is gone")


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = server.admin()
    for number, one in enumerate(IDS, 1):
        client.xadd(TOPIC, {"data": json.dumps(said(number))}, id=one)
    client.xgroup_create(TOPIC, "bot", "0")
    return client


def bury(entry_id: str, *more: str) -> str:
    done = run_command("dead", "bury", TOPIC, entry_id, *REASON, *more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def deliveries() -> list[int]:
    listed = json.loads(run_command("dead", "list", TOPIC, "--json").stdout)
    return [one["deliveries"] for one in listed["letters"]]


def test_a_burial_is_no_delivery_and_one_line_of_the_audit(redis: redis_py.Redis) -> None:
    redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=2)
    postponed = run_command(
        "release", TOPIC, IDS[0], "--group", "bot", "--consumer", "worker-1", "--delay=1h"
    )
    assert postponed.returncode == 0, postponed.stderr
    redis.xclaim(TOPIC, "bot", "worker-1", 0, [IDS[1]], idle=60_000, retrycount=1, justid=True)
    for one in IDS[:3]:
        assert bury(one) == "1 event of slack_events buried for bot.\n", "nothing was passed over"
    assert deliveries() == [0, 1, 0], "postponed before it began, delivered once, never delivered"
    found = json.loads(run_command("audit", "--json").stdout)["changes"]
    assert [one["what"] for one in found] == ["bury"] * 3 + ["release"]
    assert found[0]["facts"] == {
        "stream": TOPIC,
        "group": "bot",
        "buried": [IDS[2]],
        "reason": "its file is gone",
    }
    assert redis.xpending(TOPIC, "bot")["pending"] == 0


def test_what_a_burial_passes_over_is_said_and_nobody_seems_to_have_had_it(redis: redis_py.Redis) -> None:
    said_so = bury(IDS[2])
    assert "The group has moved past 2 events before it, not delivered yet" in said_so
    assert deliveries() == [0]
    for look in (("--group", "bot", "--waiting"), ("--event-id", IDS[0])):
        shown = run_command("read", TOPIC, *look).stdout
        assert "free: the next consumer gets it" in shown
        assert "given back" not in shown
        assert "delivery counted" not in shown
    assert json.loads(run_command("dead", "bury", TOPIC, IDS[3], *REASON, "--json").stdout) == {
        "stream": TOPIC,
        "group": "bot",
        "released": [],
        "still_postponed": [],
        "buried": [IDS[3]],
        "not_held": [],
        "free": [],
        "unknown": [],
        "also": [],
        "passed_over": 0,
    }


def test_an_entry_that_is_no_event_is_buried_with_the_persons_reason(redis: redis_py.Redis) -> None:
    junk = redis.xadd(TOPIC, {"x": "y"})
    bury(junk if isinstance(junk, str) else str(junk, "ascii"))
    (letter,) = json.loads(run_command("dead", "list", TOPIC, "--json").stdout)["letters"]
    assert (letter["reason"], letter["deliveries"]) == ("its file is gone", 0)


def test_a_paused_groups_event_can_be_buried_and_a_delivered_one_stays_counted(redis: redis_py.Redis) -> None:
    assert run_command("read", TOPIC, "--group", "bot", "-n", "1").returncode == 0
    assert run_command("group", "pause", TOPIC, "bot").returncode == 0
    bury(IDS[0])
    bury(IDS[1])
    assert deliveries() == [1, 0], "who leased the first was shown its first delivery"


def test_what_cannot_be_buried_says_why_and_what_to_do(redis: redis_py.Redis) -> None:
    redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=2)
    redis.xack(TOPIC, "bot", IDS[1])
    only = redis.xadd(TOPIC, {"data": json.dumps(said(9)), "abe:only": "other", "abe:first": "1-0"})
    other = only if isinstance(only, str) else str(only, "ascii")
    for entry_id, why in (
        (IDS[0], "'worker-1' holds it. It can be buried when that one has given it back"),
        (IDS[1], "group 'bot' has finished it, or it does not exist: `abe-redis read --event-id"),
        ("1-1", "or it does not exist"),
        (other, "it was redriven for another group than 'bot'"),
    ):
        done = run_command("dead", "bury", TOPIC, entry_id, *REASON)
        assert done.returncode == 1, why
        assert f"The event '{entry_id}' was not buried: " in done.stderr
        assert why in done.stderr
    assert redis.xlen(DEAD) == 0
    assert json.loads(run_command("audit", "--json").stdout)["changes"] == []


@pytest.mark.parametrize("delay", [None, "--delay=1h"])
def test_what_a_full_server_does_not_bury_is_as_it_was(redis: redis_py.Redis, delay: str | None) -> None:
    redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=1)
    free = ("release", TOPIC, IDS[0], "--group", "bot", "--consumer", "worker-1")
    released = run_command(*free, *([delay] if delay else []), "--reason", "Bob looks")
    assert released.returncode == 0, released.stderr
    redis.config_set("maxmemory", 1)
    refused = run_command("dead", "bury", TOPIC, IDS[0], *REASON)
    assert refused.returncode == 1
    assert "has no memory left" in refused.stderr
    assert "script" not in refused.stderr
    (row,) = redis.xpending_range(TOPIC, "bot", "-", "+", 9)
    assert row["consumer"] not in {"worker-1", b"worker-1"}
    shown = run_command("read", TOPIC, "--group", "bot", "--waiting", "-n", "1").stdout
    assert ("Bob looks" in shown and "postponed" in shown) if delay else "free: the next consumer" in shown
    held = run_command("read", TOPIC, "--group", "bot", "--pending", "--json")
    assert [one["state"] for one in json.loads(held.stdout)["events"]] == (
        ["postponed"] if delay else ["waiting"]
    )
    redis.config_set("maxmemory", 0)
    assert bury(IDS[0]) == "1 event of slack_events buried for bot.\n"
    assert deliveries() == [0], "as it was given back before"

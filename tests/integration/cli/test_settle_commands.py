"""read --group, ack and release: leasing from a shell, where each command is a process of its own."""

import json
import re
import shlex
from typing import Any

import pytest
import redis as redis_py

from tests.integration.cli.command_runs import answer, run
from tests.servers import Server

TOPIC = "slack_events"


@pytest.fixture
def redis(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = server.admin()
    for number in range(1, 4):
        client.xadd(TOPIC, {"data": json.dumps({"type": "message", "text": str(number)})}, id=f"{number}-0")
    return client


def pending(redis: redis_py.Redis) -> dict[str, str]:
    """Per id, who holds it."""
    rows: Any = redis.xpending_range(TOPIC, "workers", "-", "+", 10)
    return {row["message_id"]: row["consumer"] for row in rows}


def command_in(text: str, name: str) -> list[str]:
    """The arguments of the command of this name that the text says."""
    (line,) = [line for line in text.splitlines() if f" abe-redis {name} " in line]
    return shlex.split(line.partition("abe-redis ")[2])


def test_the_commands_that_a_lease_prints_settle_it(redis: redis_py.Redis) -> None:
    leased = run("read", "--group", "workers", "-n", "2")
    assert leased.returncode == 0
    done = run(*command_in(leased.stdout, "ack"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 acknowledged.\n", "")
    again = run("read", "--group", "workers")
    assert list(pending(redis)) == ["3-0"]
    back = run(*command_in(again.stdout, "release"))
    assert (back.returncode, back.stdout, back.stderr) == (0, "1 given back.\n", "")
    assert "(delivery 1," in run("read", "--group", "workers").stdout, "the one given back does not count"


def test_a_lease_for_another_consumer_is_settled_by_what_it_prints(redis: redis_py.Redis) -> None:
    leased = run("read", "--group", "the workers", "--consumer", "ann's", "-n", "1")
    assert run("ack", TOPIC, "1-0", "--group", "the workers").returncode == 1, "it is not this shell's"
    assert run(*command_in(leased.stdout, "ack")).returncode == 0
    assert redis.xpending(TOPIC, "the workers")["pending"] == 0


def test_a_shell_that_holds_everything_says_how_to_see_it(redis: redis_py.Redis) -> None:
    run("read", "--group", "workers")
    assert len(pending(redis)) == 3
    nothing = run("read", "--group", "workers")
    assert "Nothing is waiting in this group." in nothing.stdout
    shown = run(*shlex.split(nothing.stdout.rpartition("abe-redis ")[2]))
    assert re.findall(r"^\d-0", shown.stdout, re.MULTILINE) == ["1-0", "2-0", "3-0"]


def test_a_released_event_may_wait(redis: redis_py.Redis) -> None:
    run("read", "--group", "workers", "-n", "1")
    back = run("release", TOPIC, "1-0", "--group", "workers", "--delay", "15m")
    assert (back.returncode, back.stdout) == (0, "1 given back. Its next delivery is in 15m.\n")
    assert [one["id"] for one in answer("read", "--group", "workers")["events"]] == ["2-0", "3-0"]


@pytest.mark.parametrize("command", ["ack", "release"])
def test_an_id_that_cannot_be_settled_is_an_error(command: str, redis: redis_py.Redis) -> None:
    run("read", "--group", "workers", "-n", "1")
    run("read", "--group", "workers", "-n", "1", "--consumer", "ann")
    result = run(command, TOPIC, "1-0", "2-0", "9-9", "--group", "workers", "--json")
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert (told["unknown"], told["not_held"]) == (["9-9"], ["2-0"])
    assert told["acked" if command == "ack" else "released"] == ["1-0"]
    assert "Not pending in group workers of slack_events: 9-9" in result.stderr
    assert "Held by another consumer: 2-0." in result.stderr
    assert "`abe-redis read slack_events --group workers --pending`" in result.stderr
    assert pending(redis)["2-0"] == "ann"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("release slack_events 1-0 --group nope", 1, "has no group 'nope'"),
        ("release slack:none 1-0 --group workers", 1, "does not exist"),
        ("release slack_events x --group workers", 2, "looks like 1732000000000-0"),
        ("release slack_events 1-0 --group workers --delay soon", 2, "is no duration"),
        ("release slack_events 1-0 --group workers --delay 8d", 2, "It is 8d; at most 7d"),
        ("release slack_events 1-0", 2, "'--group'"),
        ("release", 2, "Missing argument"),
    ],
)
def test_a_refused_release_says_why(line: str, code: int, says: str, redis: redis_py.Redis) -> None:
    redis.xgroup_create(TOPIC, "workers", "0")
    result = run(*line.split())
    assert (result.returncode, result.stdout) == (code, "")
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_two_shells_of_a_user_do_not_release_for_each_other(redis: redis_py.Redis) -> None:
    """A read that fails gives back what it leased, and nothing that another command of this user holds."""
    run("read", "--group", "workers", "-n", "1")
    assert run("read", "--group", "workers", "--wait", "21").returncode == 2
    assert run("read", "--group", "workers", "-n", "1").returncode == 0
    assert sorted(pending(redis)) == ["1-0", "2-0"]
    assert len(set(pending(redis).values())) == 1


def test_what_nobody_holds_is_not_finished_by_a_mistyped_id(redis: redis_py.Redis) -> None:
    redis.xgroup_create(TOPIC, "workers", "0")
    redis.xreadgroup("workers", "bob", {TOPIC: ">"})
    ids = ["1-0", "2-0", "3-0"]
    assert run("release", TOPIC, "1-0", "--group", "workers", "--consumer", "bob").returncode == 0
    later = ("--group", "workers", "--consumer", "bob", "--delay", "15m")
    assert run("release", TOPIC, "2-0", *later).returncode == 0
    redis.xclaim(TOPIC, "workers", "bob", 0, ["3-0"], idle=3_600_000)
    for whose in ([], ["--consumer", "ann"]):
        result = run("ack", TOPIC, *ids, "--group", "workers", *whose, "--json")
        told = json.loads(result.stdout)
        assert (result.returncode, told["acked"], told["not_held"]) == (1, [], [])
        assert (told["free"], told["unknown"]) == (ids, [])
        assert "Held by nobody, so left to the next consumer: 1-0, 2-0, 3-0." in result.stderr
    assert redis.xpending(TOPIC, "workers")["pending"] == 3, "nothing is lost"
    again = run("release", TOPIC, "1-0", "--group", "workers")
    assert (again.returncode, again.stdout) == (0, "0 given back. Free already: 1-0.\n")
    done = run("ack", TOPIC, *ids, "--group", "workers", "--force")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 acknowledged.\n", "")
    assert redis.xpending(TOPIC, "workers")["pending"] == 0
    assert "force: yes" in run("audit", "--stream", TOPIC).stdout


def test_what_a_person_has_postponed_is_nobodys(redis: redis_py.Redis) -> None:
    run("read", "--group", "workers", "-n", "2")
    assert run("release", TOPIC, "1-0", "--group", "workers", "--delay", "15m").returncode == 0
    refused = run("ack", TOPIC, "1-0", "2-0", "--group", "workers")
    assert (refused.returncode, refused.stdout) == (1, "1 acknowledged.\n")
    assert "Held by nobody, so left to the next consumer: 1-0." in refused.stderr
    for _ in range(2):
        assert run("release", TOPIC, "1-0", "--group", "workers").returncode == 0
    (leased, _) = answer("read", "--group", "workers")["events"]
    assert (leased["id"], leased["deliveries"]) == ("1-0", 1)
    redis.xclaim(TOPIC, "workers", leased["consumer"], 0, ["1-0"], idle=3_600_000, justid=True)
    late = run("ack", TOPIC, "1-0", "--group", "workers")
    assert (late.returncode, late.stdout) == (0, "1 acknowledged.\n"), "late, and nobody has taken it since"


def test_read_shows_what_waits_and_who_holds_it(redis: redis_py.Redis) -> None:
    redis.xadd(TOPIC, {"data": "{}"}, id="4-0")
    ids = [f"{number}-0" for number in range(1, 5)]
    redis.xgroup_create(TOPIC, "bot", "0")
    redis.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=3)
    redis.xack(TOPIC, "bot", ids[0])
    assert run("read", "--group", "bot", "-n", "1").returncode == 0
    assert run("release", "slack_events", ids[3], "--group", "bot", "--delay", "15m").returncode == 0
    waiting = run("read", "--waiting")
    assert (waiting.returncode, waiting.stderr) == (0, "")
    lines = waiting.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ids[1:]
    assert "(waits for " in lines[0]
    assert ", delivery 1, held by worker-1 for " in lines[0]
    assert ", no delivery counted, postponed until " in lines[2]
    first = run("read", "--group", "bot", "--waiting", "-n", "1").stdout
    assert f"More: add --start {ids[1]}" in first
    held, *_ = run("read", "--group", "bot", "--pending").stdout.splitlines()
    assert "(delivery 1, held by worker-1 for " in held
    counted = run("count", "--waiting", "--group", "bot").stdout
    assert "3 events of slack_events that wait in group bot; all were looked at." in counted
    assert "4 events of slack_events, finished ones included; all" in run("count").stdout
    refused = run("read", "--waiting", "--consumer", "worker-1")
    assert (refused.returncode, "leave out --consumer" in refused.stderr) == (2, True)


def test_a_postponed_event_comes_at_once_when_somebody_releases_it(redis: redis_py.Redis) -> None:
    run("read", "--group", "workers", "-n", "2", "--consumer", "ann")
    run("release", TOPIC, "1-0", "--group", "workers", "--consumer", "ann", "--delay", "2h")
    assert [one["id"] for one in answer("read", "--group", "workers", "-n", "1")["events"]] == ["3-0"]
    now = run("release", TOPIC, "1-0", "2-0", "--group", "workers")
    assert (now.returncode, now.stdout) == (1, "1 given back.\n"), "ann holds the other one"
    assert "Held by another consumer: 2-0." in now.stderr
    (again,) = answer("read", "--group", "workers")["events"]
    assert (again["id"], again["deliveries"]) == ("1-0", 1), "neither delivery counts"


def test_why_a_person_postponed_is_shown_where_it_waits_and_in_the_audit(redis: redis_py.Redis) -> None:
    run("read", "--group", "workers", "-n", "1")
    later = run("release", TOPIC, "1-0", "--group", "workers", "--delay", "1h", "--reason", "Bob looks")
    assert (later.returncode, later.stderr) == (0, "")
    waiting = run("read", "--group", "workers", "--waiting").stdout.splitlines()[0]
    assert re.search(r"postponed until .* UTC, because cli-\S+ says: Bob looks", waiting), waiting
    assert "reason: Bob looks" in run("audit").stdout
    empty = run("release", TOPIC, "1-0", "--group", "workers", "--reason", " ")
    assert (empty.returncode, "must not be empty" in empty.stderr) == (2, True)


def test_what_nobody_holds_is_not_postponed_by_a_mistyped_id(redis: redis_py.Redis) -> None:
    for _ in range(2):
        run("read", "--group", "workers", "-n", "1", "--consumer", "ann")
    redis.xclaim(TOPIC, "workers", "ann", 0, ["1-0"], idle=3_600_000, justid=True)
    assert run("release", TOPIC, "2-0", "--group", "workers", "--consumer", "ann").returncode == 0
    later = ("--group", "workers", "--delay", "1h", "--reason", "Bob looks")
    for _ in range(2):
        left = run("release", TOPIC, "1-0", "2-0", *later, "--json")
        told = json.loads(left.stdout)
        assert (left.returncode, told["released"], told["free"], told["not_held"]) == (
            1,
            [],
            ["1-0", "2-0"],
            [],
        )
        assert "Held by nobody, so left to the next consumer: 1-0, 2-0." in left.stderr
    waiting = run("read", "--group", "workers", "--waiting").stdout
    assert "postponed" not in waiting
    (_, forced) = re.findall(r"`abe-redis (.*?)`", left.stderr)
    done = run(*shlex.split(forced))
    assert (done.returncode, done.stdout) == (0, "2 given back. Their next delivery is in 1h.\n")
    assert answer("read", "--group", "workers", "--pending")["events"][0]["state"] == "postponed"
    again = run("release", TOPIC, "1-0", "--group", "workers", "--delay", "2h")
    assert (again.returncode, again.stdout) == (0, "1 given back. Its next delivery is in 2h.\n")
    assert "force: yes" in run("audit", "--stream", TOPIC).stdout


def test_ones_own_lease_that_is_over_can_be_postponed(redis: redis_py.Redis) -> None:
    (leased,) = answer("read", "--group", "workers", "-n", "1")["events"]
    redis.xclaim(TOPIC, "workers", leased["consumer"], 0, ["1-0"], idle=3_600_000, justid=True)
    done = run("release", TOPIC, "1-0", "--group", "workers", "--delay", "1h")
    assert (done.returncode, done.stdout) == (0, "1 given back. Its next delivery is in 1h.\n")


def test_the_command_that_an_ack_offers_finishes_what_nobody_holds(redis: redis_py.Redis) -> None:
    run("read", "--group", "workers", "-n", "1")
    assert run("release", TOPIC, "1-0", "--group", "workers").returncode == 0
    left = run("ack", TOPIC, "1-0", "--group", "workers")
    assert left.returncode == 1
    (_, forced) = re.findall(r"`abe-redis (.*?)`", left.stderr)
    assert run(*shlex.split(forced)).stdout == "1 acknowledged.\n"

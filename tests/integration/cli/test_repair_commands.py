"""dead, group and erase on the command line: for people, for scripts, and for those who mistype."""

import getpass
import json
import os
import re
import socket
import subprocess
from typing import Any

import pytest
import redis as redis_py
from pydantic import BaseModel

from abe_redis.doctor.rights import ROLES
from abe_redis.schemas import (
    AuditResult,
    CountResult,
    DeadLettersResult,
    EraseResult,
    GroupChange,
    GroupsResult,
    PurgeResult,
    RedriveResult,
    ReleaseResult,
)
from abe_redis.streams import names
from abe_redis.streams.patterns import Patterns
from tests.command_line import run_command
from tests.servers import Server, Servers

TOPIC = "slack_events"
DEAD = names.dead_letters(TOPIC)
NASTY = "\x1b[2J\x9b1m\u202e\r\n\x07"
COMMANDS = (
    *("dead list", "dead bury", "dead redrive", "dead purge", "erase", "count"),
    *(f"group {name}" for name in ("list", "create", "reset", "remove", "replay", "pause", "resume")),
)


@pytest.fixture
def redis(either_url: str, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    monkeypatch.setenv("REDIS_URL", either_url)
    return redis_py.Redis.from_url(either_url)


def run(line: str, *more: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    given = "y\n" if stdin is None else stdin
    return run_command(*line.split(), *more, stdin=given, env=os.environ | {"COLUMNS": "120"})


def answer[Model: BaseModel](model: type[Model], line: str) -> Model:
    result = run(line, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    return model.model_validate_json(result.stdout, strict=False)


def bury(redis: redis_py.Redis, *, reason: str = "Boom", group: str = "bot", **payload: object) -> str:
    fields: dict[Any, Any] = {
        "data": json.dumps({"type": "message"} | payload),
        "abe:reason": reason, "abe:group": group, "abe:deliveries": "5",
        "abe:id": f"{5 + int(redis.xlen(DEAD))}-0",
    }  # fmt: skip
    entry_id: Any = redis.xadd(DEAD, fields)
    return entry_id if isinstance(entry_id, str) else str(entry_id, "ascii")


def test_a_point_in_local_time_that_is_still_to_come_is_refused(redis: redis_py.Redis) -> None:
    redis.xadd(TOPIC, {"data": "{}"})
    run(f"group create {TOPIC} bot --from now")
    before = redis.xinfo_groups(TOPIC)
    for line in (
        f"group create {TOPIC} other --from 2099-01-31T09:00",
        f"group reset {TOPIC} bot --from 2099-01-31T09:00 --force",
        f"group replay {TOPIC} bot --from 2099-01-31T09:00",
        f"group replay {TOPIC} bot --from beginning --to 2099-01-31T09:00",
    ):
        result = run(line)
        assert result.returncode == 2, line
        assert "'2099-01-31T09:00' is still to come" in " ".join(result.stderr.split()), result.stderr
    assert redis.xinfo_groups(TOPIC) == before
    redis.xgroup_setid(TOPIC, "bot", "9999999999999-0")
    assert "beyond the end" in " ".join(run(f"group list {TOPIC}").stdout.split())
    assert "beyond the end of the stream" in " ".join(run(f"stats {TOPIC}").stdout.split())


@pytest.mark.promise("It also shows what people change by command line, and each group")
def test_scripts_get_the_result_models(redis: redis_py.Redis) -> None:
    first, second, third = (
        bury(redis, user="U061F7AUR"),
        bury(redis, reason="Timeout"),
        bury(redis, reason="Timeout"),
    )
    listed = answer(DeadLettersResult, "dead list --count 2 --older-than 0s")
    assert ([one.id for one in listed.letters][:1], listed.total, listed.more) == ([first], 3, True)
    dry = answer(RedriveResult, f"dead redrive {TOPIC} --all --dry-run")
    assert (dry.redriven, dry.left, dry.dry_run) == (3, 0, True)
    assert answer(RedriveResult, f"dead redrive {TOPIC} {first}").groups == {"bot": 1}
    assert answer(PurgeResult, f"dead purge {TOPIC} --reason timeout --yes").purged == 2
    assert answer(GroupChange, f"group create {TOPIC} audit --from now").done == "created"
    (one, other) = answer(GroupsResult, f"group list {TOPIC}").groups
    assert {(of.name, of.lag) for of in (one, other)} == {("audit", 0), ("bot", 1)}
    for line, done in (
        ("group reset slack_events audit --from beginning", "reset"),
        ("group replay slack_events audit --from 2h --to now", "nothing"),
        ("group pause slack_events audit", "paused"),
        ("group resume slack_events audit", "resumed"),
        ("group remove slack_events audit --force", "removed"),
    ):
        assert answer(GroupChange, line).done == done
    assert answer(EraseResult, "erase --user U061F7AUR --dry-run").streams[0].erased == 1
    assert answer(EraseResult, "erase --user U061F7AUR --yes").streams[0].unfinished == 1
    assert redis.xlen(TOPIC) == 0
    found = answer(AuditResult, "audit -n 100").changes
    changes = "redrive, purge, group create, group reset, group pause, group resume, group remove, erase"
    assert [one.what for one in found][::-1] == changes.split(", "), "only what has changed something"
    here = f"{getpass.getuser()}@{socket.gethostname()}"
    assert {(one.who, one.origin) for one in found} == {(here, "cli")}
    assert found[-1].facts == {"stream": TOPIC, "ids": [first], "redriven": 1}
    assert found[-2].facts == {"stream": TOPIC, "ids": [second, third], "reason": "timeout", "purged": 2}
    assert "U061F7AUR" not in str(redis.xrange("abe:audit")), "what is erased stays nowhere"
    assert f"cli  erase  {here}" in run("audit -n 1").stdout


def test_people_get_text_that_cannot_steer_the_terminal(redis: redis_py.Redis) -> None:
    bury(redis, reason=f"Bad {NASTY}", group=f"g{NASTY}", text=NASTY, type=f"t{NASTY}", user="U1")
    stream = f"slack:{NASTY}"
    redis.xadd(stream, {"data": '{"user": "U1"}'})
    redis.xadd(names.dead_letters(stream), {"data": f"{NASTY}U1"})
    redis.xgroup_create(stream, f"g{NASTY}")
    texts = [
        run(line)
        for line in ("dead list", f"dead redrive {TOPIC} --all", "group list", "erase --user U1 --yes")
    ]
    texts.append(run("dead list", stream))
    texts.append(run("group remove", stream, f"g{NASTY}"))
    for result in texts:
        assert "Traceback" not in result.stderr
        for char in "\x1b\x9b\u202e\r\x07":
            assert char not in result.stdout + result.stderr, result.args
    assert [result.returncode for result in texts] == [0, 0, 0, 0, 0, 2]
    assert "Bad [U+001B][2J" in texts[0].stdout
    assert "1 dead letter of slack_events went back to work (group g[U+001B]" in texts[1].stdout
    assert re.search(r"3 events erased; 3 searched", texts[3].stdout)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (f"dead redrive {TOPIC}", 2, "Say which dead letters: ids, a filter such as --reason, or --all."),
        (f"dead purge {TOPIC}", 2, "Say which dead letters"),
        (f"dead bury {TOPIC} 1-1 --group bot --reason no", 1, "it does not exist"),
        (f"dead bury {TOPIC} 1-1 --group none --reason no", 1, "no group 'none'"),
        (f"dead bury {TOPIC} x --group bot --reason no", 2, "looks like 1732000000000-0"),
        (f"dead bury {TOPIC} 1-1 --group bot", 2, "--reason"),
        ("dead bury slack:none 1-1 --group bot --reason no", 1, "does not exist"),
        (f"dead purge {TOPIC} --all", 2, "add --yes"),
        (f"dead purge {TOPIC} 1-1 --yes", 1, "There is no such dead letter of slack_events: 1-1"),
        (f"dead redrive {TOPIC} 1-1 2-2", 1, "There is no such dead letter of slack_events: 1-1, 2-2"),
        (f"dead redrive {TOPIC} 1-1 --dry-run", 1, "abe-redis dead list slack_events"),
        ("dead show 1-1", 1, "There is no dead letter 1-1"),
        ("dead list slack:typo", 1, "'slack:typo' does not exist"),
        ("dead summary slack:typo", 1, "'slack:typo' does not exist"),
        ("dead redrive slack:typo --all", 1, "'slack:typo' does not exist"),
        ("dead purge slack:typo --all --yes", 1, "'slack:typo' does not exist"),
        ("erase --user U1 --stream slack:typo --yes", 1, "'slack:typo' does not exist"),
        (f"dead purge {TOPIC} x --yes", 2, "looks like 1732000000000-0"),
        (f"dead purge {TOPIC} --older-than soon --yes", 2, "is no duration"),
        ("dead list --count 101", 2, "--count"),
        ("dead redrive elsewhere --all", 1, "REDIS_STREAM_PATTERNS"),
        ("dead redrive", 2, "Missing argument"),
        ("erase --user U1", 2, "add --yes"),
        ("erase --yes", 2, "Say whose events"),
        ("group create slack:none g", 1, "does not exist"),
        (f"group create {TOPIC} bot", 1, "already"),
        (f"group create {TOPIC} g --from never", 2, "no point in a stream"),
        (f"group remove {TOPIC} bot", 1, "1 undelivered"),
        (f"group reset {TOPIC} bot", 2, "--from"),
        (f"group pause {TOPIC} none", 1, "no group 'none'"),
    ],
)
def test_a_refused_repair_changes_nothing_and_says_why(
    line: str, code: int, says: str, redis_url: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    redis = server.admin()
    redis.xadd(TOPIC, {"data": '{"user": "U1"}'})
    redis.xgroup_create(TOPIC, "bot", "0")
    bury(redis)
    result = run(line)
    assert (result.returncode, result.stdout) == (code, "")
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert (redis.xlen(TOPIC), redis.xlen(DEAD)) == (1, 1), "nothing was changed"


def test_an_event_is_buried_by_its_id_for_one_group(redis: redis_py.Redis) -> None:
    for entry_id in (ids := ["5-0", "6-0"]):
        redis.xadd(TOPIC, {"data": json.dumps({"n": entry_id})}, id=entry_id)
    first, second = ids
    for group in ("bot", "other"):
        redis.xgroup_create(TOPIC, group, "0")
    line = f"dead bury {TOPIC} {second} --group bot --reason broken"
    assert answer(ReleaseResult, line).buried == [second]
    (letter,) = answer(DeadLettersResult, "dead list").letters
    assert (letter.first_id, letter.group, letter.reason) == (second, "bot", "broken")
    again = run(line)
    assert (again.returncode, again.stdout) == (1, "")
    assert "group 'bot' has given up on it already" in again.stderr
    redis.xclaim(TOPIC, "bot", "somebody", 0, [first])  # which was passed over, and waits
    held = run(f"dead bury {TOPIC} {first} --group bot --reason broken")
    assert held.returncode == 1
    assert "'somebody' holds it" in held.stderr
    redis.xreadgroup("other", "somebody", {TOPIC: ">"})
    assert redis.xpending(TOPIC, "other")["pending"] == 2, "the other group has both"
    assert redis.xlen(DEAD) == 1


@pytest.mark.parametrize(("line", "left"), [("dead redrive", 1), ("dead purge --yes", 1)])
def test_an_unknown_id_among_others_is_an_error_and_the_others_are_done(
    redis: redis_py.Redis, line: str, left: int
) -> None:
    known, other = bury(redis), bury(redis)
    result = run(f"{line} {TOPIC} {known} 1-1")
    assert result.returncode == 1
    assert "1 dead letter of slack_events" in result.stdout
    assert "There is no such dead letter of slack_events: 1-1" in result.stderr
    assert redis.xlen(DEAD) == left
    told = run(f"{line} {TOPIC} 1-1 {other} --json")
    assert json.loads(told.stdout)["unknown"] == ["1-1"]
    assert (told.returncode, redis.xlen(DEAD)) == (1, 0)


def test_dead_letters_of_a_stream_that_has_nothing_else_are_found(redis: redis_py.Redis) -> None:
    known = bury(redis)
    assert not redis.exists(TOPIC)
    assert known in run(f"dead list {TOPIC}").stdout
    assert run(f"dead purge {TOPIC} {known} --yes").returncode == 0


def test_what_this_shell_holds_is_buried(redis: redis_py.Redis) -> None:
    redis.xadd(TOPIC, {"data": "{}"}, id="5-0")
    assert "5-0" in run(f"read {TOPIC} --group bot").stdout
    buried = run(f"dead bury {TOPIC} 5-0 --group bot --reason broken")
    assert (buried.returncode, buried.stderr) == (0, "")
    assert (redis.xlen(DEAD), redis.xpending(TOPIC, "bot")["pending"]) == (1, 0)


def test_events_are_counted_by_what_they_have_in_common(redis: redis_py.Redis) -> None:
    for number in range(3):
        event = {"type": "message", "user": f"U{number % 2}", "text": f"number {number}"}
        redis.xadd(TOPIC, {"data": json.dumps(event)})
    bury(redis)
    by_user = answer(CountResult, f"count {TOPIC} --by user")
    assert ({row.value: row.count for row in by_user.rows}, by_user.total) == ({"U0": 2, "U1": 1}, 3)
    assert answer(CountResult, f"count {TOPIC} --by user --contains 2").total == 1
    assert answer(CountResult, f"count {TOPIC} --by reason").rows[0].value == "Boom"
    lines = run("count --by user -n 1").stdout.splitlines()
    assert lines[0].split()[:2] == ["2", "U0"]
    assert lines[1:] == [
        f"3 events of {TOPIC}, finished ones included; all were looked at.",
        "Another 1 row: raise --count, or narrow the choice.",
    ]
    assert run(f"count {TOPIC} --by reason").stdout.endswith(
        f"1 dead letter of {TOPIC}; all were looked at.\n"
    )
    assert run("count --by colour").returncode == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(command: str) -> None:
    result = run(command, "--help")
    assert result.returncode == 0
    assert f"Example: abe-redis {command} " in " ".join(result.stdout.split())


_LINES = {role.name: role.setuser(Patterns(["slack_events", "slack:*"])) for role in ROLES}
_RULES, OPERATOR = (_LINES[name].partition(" reset ")[2] for name in ("consumer", "operator"))


def test_the_operators_role_is_enough(make_servers_url: tuple[str, redis_py.Redis]) -> None:
    url, admin = make_servers_url
    bury(admin, user="U1")
    admin.xadd(TOPIC, {"data": '{"user": "U1"}'}, id="6-0")
    admin.hset(names.records(TOPIC), "floor bot", "5-0 9 3")
    for line in (
        "dead list",
        f"dead redrive {TOPIC} --all",
        f"dead purge {TOPIC} --all --yes",
        "group list",
        f"group create {TOPIC} a",
        f"dead bury {TOPIC} 6-0 --group a --reason broken",
        f"count {TOPIC} --by reason",
        f"group pause {TOPIC} a",
        f"group resume {TOPIC} a",
        f"group replay {TOPIC} bot --from beginning",
        f"group reset {TOPIC} bot --from now --force",
        f"group replay {TOPIC} bot --from beginning",
        f"group remove {TOPIC} a --force",
        "erase --user U1 --yes",
        "audit",
    ):
        result = run(line)
        assert (result.returncode, result.stderr) == (0, ""), f"{line} with {url}"
    assert admin.acl_log() == []


@pytest.fixture
def make_servers_url(make_server: Servers, monkeypatch: pytest.MonkeyPatch) -> tuple[str, redis_py.Redis]:
    server = make_server(users={"operator": OPERATOR.replace("PASSWORD", "secret")})
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("REDIS_USERNAME", "operator")
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    return server.url, server.admin()


def test_a_consumer_needs_no_more_to_learn_of_a_pause(
    make_server: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(users={"abe": _RULES.replace("PASSWORD", "secret")})
    monkeypatch.setenv("REDIS_URL", server.url.replace("//", "//abe:secret@"))
    admin = server.admin()
    admin.xgroup_create(TOPIC, "bot", "0", mkstream=True)
    assert run("read --group bot").returncode == 0
    admin.hset(names.records(TOPIC), "paused bot", "1")
    assert "is paused" in run("read --group bot").stderr


def test_the_list_of_groups_counts_agents_apart(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_STREAM_LEASE_SECONDS", "600")
    redis.xadd(TOPIC, {"data": "{}"}, id="1-0")
    for group, consumers in {"bot": ["w1", "w2", "mcp-host-1"], "agents": ["mcp-host-1"], "new": []}.items():
        redis.xgroup_create(TOPIC, group, "0")
        for name in consumers:
            redis.xgroup_createconsumer(TOPIC, group, name)
    rows = [[cell.strip() for cell in line.split("\u2502")] for line in run("group list").stdout.splitlines()]
    alive = {row[2]: row[5] for row in rows if len(row) > 5}
    assert alive == {"bot": "2 of 2, 1 of 1 agent", "agents": "1 of 1 agent", "new": "0 of 0"}

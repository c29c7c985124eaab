"""`read --lines` and `dead list --lines`: payloads that `publish --lines` takes on another Redis."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from abe_redis import Operations
from tests.command_line import run_command
from tests.hosts import forking
from tests.hosts.processes import Child
from tests.integration.cli.command_runs import answer, at, run
from tests.integration.conftest import MakeBackend
from tests.patience import PATIENCE
from tests.servers import Server

__all__ = ["at"]


def event(number: int, **more: Any) -> dict[str, Any]:
    """An envelope of Slack's, from one of three users."""
    inner = {"type": "message", "channel": "C1", "user": f"U{number % 3}", "text": f"ä {number}"}
    return {"type": "event_callback", "event_id": f"Ev{number}", "event": inner} | more


def publish(payloads: list[dict[str, Any]], *, stream: str = "slack_events") -> None:
    lines = "\n".join(map(json.dumps, payloads))
    assert answer("publish", "--stream", stream, "--lines", "-", stdin=lines)["lines"] == len(payloads)


def printed(*arguments: str) -> list[Any]:
    done = run(*arguments, "--lines")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("at")
def test_all_events_move_to_another_redis_without_the_token(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep: dict[str, Any] = {}
    for _ in range(90):
        deep = {"deeper": deep}
    payloads = [*(event(number) for number in range(230)), event(230, deep=deep, large="x" * 300_000)]
    publish([one | {"token": "of the app"} for one in payloads])
    lines = run("read", "--lines").stdout
    assert lines.isascii()
    monkeypatch.setenv("REDIS_URL", own_server.url)
    answer("publish", "--lines", "-", stdin=lines)
    assert printed("read") == payloads
    twice = answer("publish", "--lines", "-", stdin=lines)
    assert twice["duplicates"] == len(payloads)
    assert printed("read") == payloads


@pytest.mark.usefixtures("at")
def test_filters_count_and_start_choose_the_lines() -> None:
    publish([event(number) for number in range(7)])
    found = answer("read", "--order", "oldest")["events"]
    ids = [one["id"] for one in found]
    assert [one["event_id"] for one in printed("read", "--user", "U1")] == ["Ev1", "Ev4"]
    assert [one["event_id"] for one in printed("read", "-n", "2")] == ["Ev0", "Ev1"]
    assert [one["event_id"] for one in printed("read", "--start", ids[4])] == ["Ev5", "Ev6"]
    assert [one["event_id"] for one in printed("read", "--start", f"{ids[5]}@slack_events")] == ["Ev6"]
    assert [one["event_id"] for one in printed("read", "--since", ids[5])] == ["Ev5", "Ev6"]
    assert [one["event_id"] for one in printed("read", "--until", ids[1])] == ["Ev0"]
    nothing = run("read", "--lines", "--user", "U9")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == "abe-redis: No event matches.\n"


@pytest.mark.usefixtures("at")
def test_what_a_group_has_not_finished_is_chosen_by_waiting() -> None:
    publish([event(number) for number in range(5)])
    answer("group", "create", "slack_events", "bot")
    (held,) = answer("read", "--group", "bot", "-n", "1")["events"]
    (done,) = answer("read", "--group", "bot", "-n", "1")["events"]
    answer("ack", "slack_events", done["id"], "--group", "bot")
    assert held["payload"]["event_id"] == "Ev0"
    for group in ([], ["--group", "bot"]):
        left = printed("read", "--waiting", *group)
        assert [one["event_id"] for one in left] == ["Ev0", "Ev2", "Ev3", "Ev4"]
    misspelt = run("read", "--waiting", "--group", "bto", "--lines")
    assert misspelt.returncode == 1
    assert misspelt.stderr.startswith("abe-redis: The stream 'slack_events' has no group 'bto'.")


@pytest.mark.usefixtures("at")
def test_partitions_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_STREAM_PARTITIONS", "3")
    payloads = [{"type": "message", "channel": f"C{number % 7}", "n": number} for number in range(40)]
    publish(payloads)
    found = printed("read", "slack_events")
    assert sorted(one["n"] for one in found) == list(range(40))
    for channel in {one["channel"] for one in payloads}:
        numbers = [one["n"] for one in found if one["channel"] == channel]
        assert numbers == sorted(numbers)
    part = answer("publish", json.dumps({"type": "message", "channel": "C1", "n": 40}))
    assert {"type": "message", "channel": "C1", "n": 40} in printed("read", part["stream"])
    beyond = run("read", "--lines", "--start", "1-0@slack_events:p9")
    assert beyond.returncode == 2
    assert "start names the stream 'slack_events:p9', which is none of those that are read" in beyond.stderr


@pytest.mark.usefixtures("at")
def test_dead_letters_of_a_topic_are_those_of_its_partitions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    publish([{"type": "message", "channel": "C0", "n": 0}])
    monkeypatch.setenv("REDIS_STREAM_PARTITIONS", "3")
    publish([{"type": "message", "channel": f"C{number}", "n": number} for number in range(1, 13)])
    streams = ["slack_events", *(f"slack_events:p{number}" for number in range(3))]
    for stream in streams:
        answer("group", "create", stream, "bot")
        for one in answer("read", stream)["events"]:
            answer("dead", "bury", stream, one["id"], "--group", "bot", "--reason", "odd")
    assert sorted(one["n"] for one in printed("dead", "list", "slack_events", "--group", "bot")) == [
        *range(13)
    ]
    for part in streams[1:]:
        assert 0 < len(printed("dead", "list", part)) < 12
    letters = answer("dead", "list", "slack_events")["letters"]
    assert {one["stream"] for one in letters} == set(streams), "as with --lines"
    last = letters[0]
    assert len(printed("dead", "list", "slack_events", "--start", f"{last['id']}@slack_events")) == 12
    unknown = run("dead", "list", "slack_evens", "--lines")
    assert unknown.returncode == 1
    assert "Did you mean 'slack_events'?" in unknown.stderr


@pytest.mark.usefixtures("at")
def test_dead_letters_of_all_streams_are_printed_whole_and_chosen_as_in_the_list() -> None:
    for stream in ("slack:one", "slack:two"):
        publish([event(number) for number in range(3)], stream=stream)
        for group in ("bot", "other"):
            answer("group", "create", stream, group)
        for one in answer("read", stream, "--order", "oldest")["events"]:
            for group in ("bot", "other"):
                answer("dead", "bury", stream, one["id"], "--group", group, "--reason", f"not for {group}")
    assert printed("dead", "list", "slack:one", "--group", "bot") == [event(number) for number in range(3)]
    assert len(printed("dead", "list")) == 12
    assert printed("dead", "list", "--reason", "not for other", "--user", "U2") == [event(2), event(2)]
    first = answer("dead", "list", "-n", "1")
    assert len(printed("dead", "list", "--start", first["next_start"])) == 11
    (last,) = answer("dead", "list", "slack:one", "--reason", "other", "--user", "U2")["letters"]
    assert len(printed("dead", "list", "--start", f"{last['id']}@slack:one")) == 6
    nothing = run("dead", "list", "--lines", "--reason", "Timeout")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == "abe-redis: No dead letter matches.\n"


@pytest.mark.usefixtures("at")
def test_an_id_alone_begins_behind_it_in_every_stream() -> None:
    for stream in ("slack:one", "slack:two"):
        publish([event(number) for number in range(2)], stream=stream)
        answer("group", "create", stream, "bot")
        for one in answer("read", stream, "--order", "oldest")["events"]:
            answer("dead", "bury", stream, one["id"], "--group", "bot", "--reason", "no")
    every = answer("dead", "list")["letters"]
    behind = answer("dead", "list", "--start", every[1]["id"])["letters"]  # the last one of slack:one
    assert [(one["stream"], one["id"]) for one in behind] == [
        (one["stream"], one["id"]) for one in every if one["stream"] == "slack:two"
    ]


@pytest.mark.usefixtures("at")
def test_what_is_no_event_is_left_out_and_named(server: Server) -> None:
    publish([event(1)])
    admin = server.admin()
    bad: list[Any] = [admin.xadd("slack_events", {"other": "1"}), admin.xadd("slack_events", {"data": "[1]"})]
    bad.append(admin.xadd("slack_events", {"data": '{"n": NaN}'}))
    publish([event(2)])
    done = run("read", "--lines")
    assert done.returncode == 1
    assert [json.loads(line)["event_id"] for line in done.stdout.splitlines()] == ["Ev1", "Ev2"]
    for entry_id, why in zip(
        bad,
        ("the entry has no field 'data'", "holds a JSON list, not an object", "the payload is not JSON"),
        strict=True,
    ):
        assert re.search(rf"Left out: {entry_id} of slack_events, since .*{why}", done.stderr), why
    assert done.stderr.endswith("abe-redis: 3 events left out, 2 payloads printed.\n")


async def test_what_comes_meanwhile_is_not_printed(make_backend: MakeBackend) -> None:
    """Or a pipe into the same stream would never end."""
    operations = Operations(make_backend())
    for number in range(3):
        await operations.publish_event({"type": "message", "n": number})
    found = list[Any]()
    with anyio.fail_after(PATIENCE):
        async for one in operations.payloads():
            found.append(one.payload)
            await operations.publish_event({"type": "message", "again": one.payload})
    assert found == [{"type": "message", "n": number} for number in range(3)]


async def test_it_is_said_that_agents_published_some(make_backend: MakeBackend, redis_url: str) -> None:
    agent = Operations(make_backend(), origin="mcp")
    await agent.publish_event({"type": "message", "n": 1})
    done = await anyio.to_thread.run_sync(
        lambda: run_command("read", "--lines", env=os.environ | {"REDIS_URL": redis_url})
    )
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"type": "message", "n": 1}
    assert "Of these, agents published 1. `publish --lines` gives them the origin cli" in done.stderr


def test_a_failure_says_where_to_go_on(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its output is not read while Redis goes away, so that it is in the middle."""
    monkeypatch.setenv("REDIS_URL", own_server.url)
    publish([event(number, large="x" * 20_000) for number in range(300)])
    rows: Any = own_server.admin().xrange("slack_events")
    ids = [entry_id for entry_id, _ in rows]
    errors = tmp_path / "stderr"
    with errors.open("wb") as log:
        command = [*forking.ours(), "-m", "abe_redis", "read", "--lines"]
        child = subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=log)
    with child:
        assert child.stdout is not None
        first = child.stdout.readline()
        own_server.kill()
        rest = child.stdout.readlines()
        assert child.wait(PATIENCE) == 1
    count = len([first, *rest])
    assert count < 300
    said = errors.read_text("utf-8")
    where = f"abe-redis: Printed before it: {count}. Go on with --start {ids[count - 1]}@slack_events.\n"
    assert said.startswith(where), said


@pytest.mark.usefixtures("at")
def test_a_pipe_that_is_closed_ends_it(tmp_path: Path) -> None:
    publish([event(number, large="x" * 20_000) for number in range(30)])
    command = ["sh", "-c", f"{sys.executable} -m abe_redis read --lines | head -n 1 | cut -c 1-30"]
    with Child(command, cwd=tmp_path, variables=os.environ, stderr=tmp_path / "stderr") as child:
        assert child.line(0).startswith('{"type": "event_callback"')
        assert child.wait() == 0
        assert child.stderr == ""


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("read --lines --json", "--lines prints payloads"),
        ("read --lines --follow", "--lines prints payloads"),
        ("read --lines --group bot", "--waiting with --group"),
        ("read --lines --order newest", "the oldest first"),
        ("read --lines -n 0", "at least 1"),
        ("dead list --lines --json", "leave out --json"),
        ("read -n 300", "--start with what the page before names; or print all payloads with --lines"),
        ("dead list -n 300", "--start with what the page before names; or print all payloads with --lines"),
    ],
)
def test_what_contradicts_itself_is_refused(words: str, expected: str) -> None:
    refused = run(*words.split(), COLUMNS="400")
    assert refused.returncode == 2
    assert expected in refused.stderr

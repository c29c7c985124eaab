"""`abe-redis read`: going on, filters, and what is shown of hidden characters."""

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from abe_redis import Operations
from abe_redis.cli.follow import follow as read_on
from abe_redis.sanitize.untrusted import clean
from tests.hosts import forking
from tests.hosts.processes import Child
from tests.integration.cli.command_runs import answer, at, run
from tests.integration.conftest import MakeBackend, until

__all__ = ["at"]


@pytest.mark.usefixtures("at")
def test_reading_on_and_on(tmp_path: Path) -> None:
    answer("publish", '{"type": "message", "text": "before"}')
    command = [*forking.ours(), "-m", "abe_redis", "read", "--follow", "--json"]
    child = Child(command, cwd=tmp_path, variables=os.environ, stderr=tmp_path / "stderr")
    with child:
        follow(child)


async def test_what_comes_while_it_begins_is_shown_too(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, shown, asked = make_backend(), list[int](), 0
    peek = Operations.peek

    async def publish_behind(self: Operations, **more: Any) -> Any:
        nonlocal asked
        found = await peek(self, **more)
        asked += 1
        if asked <= 2:
            await backend.publish("slack_events", {"n": asked})
        return found

    def show(event: Any) -> None:
        shown.append(event.payload["n"])

    async def are_all_shown() -> bool:
        return len(shown) >= 3

    monkeypatch.setattr(Operations, "peek", publish_behind)
    await backend.publish("slack_events", {"n": 0})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            partial(read_on, Operations(backend, origin="cli"), show, stream=None, count=10, start=None)
        )
        await until(are_all_shown)
        tasks.cancel_scope.cancel()
    assert shown == [0, 1, 2]


def follow(child: Child) -> None:
    assert json.loads(child.line(0))["payload"]["text"] == "before"
    answer("publish", '{"type": "message", "text": "after"}')
    assert json.loads(child.line(1))["payload"]["text"] == "after"
    child.signal(signal.SIGINT)
    assert child.wait() == 0
    assert child.stderr == ""


@pytest.mark.usefixtures("at")
def test_read_shows_only_what_filters_ask_for() -> None:
    for number, (user, channel) in enumerate([("U1", "C1"), ("U1", "C2"), ("U2", "C1")]):
        event = {"type": "message", "user": user, "channel": channel, "text": str(number)}
        answer("publish", json.dumps(event))
    for words, numbers in {
        "--user U1": ["0", "1"],
        "--user <@U1>": ["0", "1"],
        "--user <@U1|ann>": ["0", "1"],
        "--user @U1": ["0", "1"],
        "--channel <#C1|name>": ["0", "2"],
        "--channel #C1": ["0", "2"],
        "--channel C1": ["0", "2"],
        "--user U1 --channel C1": ["0"],
        "--since 1h": ["0", "1", "2"],
        "--since 2200-01-01 --user U1": [],
        "--until 1h": [],
        "--until 2200-01-01 --channel C2": ["1"],
        "--contains c2": ["1"],
        "--thread 1732000000.000100": [],
    }.items():
        found = answer("read", "--order", "oldest", *words.split())
        assert [one["payload"]["text"] for one in found["events"]] == numbers, words
    lines = run("read", "--user", "U2").stdout
    assert "message in C1 by U2: '2'" in lines
    assert "by U1" not in lines


@pytest.mark.usefixtures("at")
def test_read_leaves_ordinary_writing_whole_and_shows_what_is_hidden() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
    whole = f"\u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467 {flag}"
    whole += " \u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937"
    answer("publish", json.dumps({"type": "message", "text": f"{whole} a\u202eb\u200bc\ud800d"}))
    shown = "a[U+202E]b[U+200B]c[U+D800]d"
    assert f"message: '{whole} {shown}'" in run("read").stdout
    assert f"message: '{whole} {shown}'" in clean(answer("read")["events"][0]["summary"])


LONG = {"type": "event_callback", "event_id": "Ev0", "event": {"type": "message", "text": "x" * 30_000}}


@pytest.mark.usefixtures("at")
def test_json_is_whole_so_that_it_can_be_published_again(tmp_path: Path) -> None:
    for number in range(3):
        answer("publish", json.dumps(LONG | {"event_id": f"Ev{number}"}))
    found = answer("read", "--order", "oldest")
    assert [one["payload"]["event_id"] for one in found["events"]] == ["Ev0", "Ev1", "Ev2"]
    assert all(one["payload"]["event"] == LONG["event"] and not one["truncated"] for one in found["events"])
    command = [*forking.ours(), "-m", "abe_redis", "read", "--follow", "--json"]
    with Child(command, cwd=tmp_path, variables=os.environ, stderr=tmp_path / "stderr") as child:
        assert json.loads(child.line(0))["payload"] == LONG
        child.signal(signal.SIGINT)
        assert child.wait() == 0


@pytest.mark.usefixtures("at")
def test_a_name_where_an_id_belongs_is_said_when_nothing_matches() -> None:
    answer("publish", json.dumps({"type": "message", "user": "U061F7AUR", "channel": "C0LAN2Q65"}))
    by_name = run("read", "--user", "alice", "--channel", "#general").stdout
    assert "'alice' is no user id of Slack's, such as U061F7AUR: events name users by those." in by_name
    assert "'general' is no channel id of Slack's, such as C0LAN2Q65" in by_name
    assert "is no" not in run("read", "--user", "U000000000").stdout
    assert "is no" not in run("read", "--user", "U061F7AUR").stdout


@pytest.mark.usefixtures("at")
def test_events_that_lie_in_partitions_are_not_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer("publish", json.dumps({"type": "message", "channel": "C1"}))
    assert "partitions" not in run("read", "--channel", "C8").stdout
    monkeypatch.setenv("REDIS_STREAM_PARTITIONS", "2")
    part = answer("publish", json.dumps({"type": "message", "channel": "C8"}))["stream"]
    where = f"Its partitions have events of their own, too: '{part}' (1 entry). Name one;"
    nothing = run("read", "--channel", "C8").stdout
    assert "No event here matches" in nothing
    assert where in nothing
    assert where in run("read", "--channel", "C1").stdout, "the newest event may be there"

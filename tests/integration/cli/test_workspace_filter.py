"""`--workspace`: the events of one of the workspaces in which an app is installed."""

import json
from typing import Any

import pytest

from abe_redis.streams import names
from tests.integration.cli.command_runs import answer, at, run
from tests.servers import Server

__all__ = ["at"]

TOPIC = "slack_events"
MESSAGE = {"type": "message", "channel": "C1", "user": "U1"}


def envelope(number: int, team: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "event_id": f"Ev{number}",
        "api_app_id": "A1",
        "team_id": team,
        "event": MESSAGE | {"ts": f"{number}.0"},
    } | more


EVENTS = {
    "1-0": envelope(1, "T1"),
    "2-0": envelope(2, "T2"),
    "3-0": envelope(3, "T3", authorizations=[{"team_id": "T1", "user_id": "U9"}]),  # of a shared channel
    "4-0": {"command": "/ask", "team_id": "T2", "channel_id": "C1", "user_id": "U1"},
    "5-0": {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1"}},
    "6-0": MESSAGE | {"team": "T1"},  # without an envelope
    "7-0": MESSAGE,
}
OF_T1, OF_T2 = ["1-0", "3-0", "5-0", "6-0"], ["2-0", "4-0"]


@pytest.fixture
def filled(at: None, server: Server) -> None:
    with server.admin() as redis:
        for entry_id, payload in EVENTS.items():
            redis.xadd(TOPIC, {"data": json.dumps(payload)}, id=entry_id)
            dead = {"data": json.dumps(payload), "abe:reason": "Boom", "abe:group": "g", "abe:id": entry_id}
            redis.xadd(names.dead_letters(TOPIC), dead, id=entry_id)


@pytest.mark.usefixtures("filled")
def test_each_command_that_filters_events_knows_workspaces() -> None:
    for team, ids in {"T1": OF_T1, "T2": OF_T2, "T9": []}.items():
        for line in ("read --order oldest", "read --waiting"):
            found = answer(*line.split(), "--workspace", team)["events"]
            assert [one["id"] for one in found] == ids, line
        assert answer("count", "--workspace", team)["total"] == len(ids)
        assert answer("count", "--by", "reason", "--workspace", team)["total"] == len(ids)
        assert [one["id"] for one in answer("dead", "list", "--workspace", team)["letters"]] == ids
    assert answer("count", "--workspace", "T1", "--user", "U1", "--channel", "C1")["total"] == 3


@pytest.mark.usefixtures("filled")
def test_a_word_that_is_no_id_of_a_workspace_is_answered() -> None:
    assert (
        "'acme' is no workspace id of Slack's, such as T061EG9R6" in run("read", "--workspace", "acme").stdout
    )
    result = run("count", "--workspace", "C061EG9SL")
    assert result.returncode == 2
    assert "'C061EG9SL' is no workspace id; give one such as T061EG9R6." in result.stderr
    assert "Did you mean --workspace?" in run("read", "--team", "T1").stderr

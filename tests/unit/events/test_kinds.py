"""The table: each kind is recognised, with and without its envelope, and nothing else is."""

from typing import Any

import pytest

from abe_redis.events import kinds
from tests.unit.events.shapes import action, command, envelope


def test_every_row_says_what_it_is() -> None:
    assert len(kinds.KINDS) > 150
    names = [(kind.family == "message", kind.name) for kind in kinds.KINDS]
    assert len(set(names)) == len(names)
    for kind in kinds.KINDS:
        assert kind.about
        assert "|" not in kind.line


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: f"{kind.family} {kind.name}")
def test_each_kind_is_recognised(kind: kinds.Kind) -> None:
    match kind.family:
        case "event":
            assert kinds.kind_of(envelope({"type": kind.name})) is kind
            assert kinds.kind_of({"type": kind.name}) is kind
        case "message":
            subtype = {} if kind.name == "message" else {"subtype": kind.name}
            assert kinds.kind_of(envelope({"type": "message"} | subtype)) is kind
        case "interactive" | "notice":
            assert kinds.kind_of(action(kind.name)) is kind
            assert kinds.kind_of(envelope({"type": kind.name})) is kinds.OTHER, "it comes without an envelope"
        case _:
            assert kind.name in {"slash_command", "outgoing_webhook"}


@pytest.mark.parametrize(
    "payload",
    [
        envelope({"type": "message"}),
        envelope({"type": "hologram_shown"}),
        {"type": "event_callback"},
        *(action(kind.name) for kind in kinds.KINDS if kind.family == "interactive"),
        action("hologram_touched"),
        {"type": "block_actions"},
        {"type": "shortcut"},
        {"type": "message", "channel": "C0", "text": "hi"},
        {"type": "message", "subtype": "hologram"},
        {"type": "app_mention"},
        {"command": "/deploy", "channel_name": "room"},
        {"type": "app_rate_limited", "team_id": "T0", "minute_rate_limited": 1},
        {"type": "url_verification", "challenge": "x"},
        {"type": "hologram_touched", "team": {"id": "T0"}, "response_url": "https://hooks.slack.com/x"},
        {"ssl_check": "1"},
        command(),
        {"command": "/deploy", "user_id": "U0"},
        {
            "team_id": "T0",
            "channel_id": "C0",
            "user_id": "U0",
            "service_id": "1",
            "text": "go",
            "trigger_word": "go",
        },
        {"team_id": "T0", "channel_id": "C0", "user_id": "U0", "timestamp": "1.1", "text": "go"},
        {"user_name": "ann", "text": "go", "trigger_word": "go"},
    ],
)
def test_a_payload_from_slack_is_recognised(payload: dict[str, Any]) -> None:
    assert kinds.is_of_slack(payload)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"text": "mine"},
        {"type": "message", "text": "mine"},
        {"type": "message", "event": {"channel": "C0"}},
        {"trigger_word": "go"},
        {"type": "token", "team": "red"},
        {"command": "deploy", "team_id": "T0"},
        {"command": "/deploy"},
        {"team_id": "T0", "user_id": "U0"},
        {"event": {"type": "message"}},
    ],
)
def test_a_payload_of_another_origin_does_not_count_as_slacks(payload: dict[str, Any]) -> None:
    assert not kinds.is_of_slack(payload)


def test_fields_are_found_in_objects_and_lists() -> None:
    value = {"a": {"b": [{"c": "x"}, {"c": ""}]}, "d": {"id": "y"}, "e": ["z"], "n": 5}
    assert list(kinds.values(value, kinds.paths("a.b.0.c a.b.1.c a.b.2.c a.0 d e.0 e.x n gone.deep"))) == [
        "x",
        "y",
        "z",
    ]
    assert kinds.first(value, kinds.paths("n"), kinds.paths("d")) == "y"
    assert kinds.first(value, ()) is None
    assert [kinds.written(path) for path in kinds.paths("a.b.0.c d")] == ["a.b.0.c", "d"]

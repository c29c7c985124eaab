"""What a person or a model is shown of an entry."""

import json
from typing import Any

import pytest

from abe_redis.results import EventView
from abe_redis.views import compact, fit, shorten, summarise, view

LONG = "x" * 500


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (
            {
                "type": "event_callback",
                "event": {"type": "app_mention", "channel": "C024", "user": "U061", "text": "can you\nlook"},
            },
            "app_mention in C024 by U061: 'can you look'",
        ),
        (
            {"type": "reaction_added", "user": "U1", "reaction": "eyes", "item": {"channel": "C1"}},
            "reaction_added in C1 by U1 :eyes:",
        ),
        ({"type": "app_rate_limited", "team_id": "T1"}, "app_rate_limited"),
        ({"n": 1}, "event without a type"),
        ({"type": "message", "text": LONG}, f"message: {'x' * 80!r}…"),
        ({"type": "message", "channel": {"id": 1}, "user": None, "text": 5}, "message"),
    ],
)
def test_an_event_in_a_line(payload: dict[str, Any], line: str) -> None:
    assert summarise(payload) == line


def test_a_view_has_the_time_and_no_token() -> None:
    shown = view(
        "1732000000123-4", {b"data": b'{"type":"event_callback","token":"secret","event":{"type":"x"}}'}
    )
    assert shown.timestamp.isoformat() == "2024-11-19T07:06:40.123000+00:00"
    assert shown.event_type == "x"
    assert "secret" not in shown.model_dump_json()


def test_what_cannot_be_read_is_said() -> None:
    assert view("1-0", None).summary == "the entry was trimmed away"
    assert view("1-0", {}).summary == "unreadable: the entry has no field 'data'"
    buried = view("1-0", {b"data": b"{}", b"abe:reason": b"handler failed"})
    assert buried.summary == "event without a type [buried: handler failed]"


def views(*payloads: dict[str, Any]) -> list[EventView]:
    return [view(f"{n}-0", {b"data": json.dumps(payload).encode()}) for n, payload in enumerate(payloads, 1)]


def test_small_payloads_stay_whole_and_large_ones_share_what_is_left() -> None:
    shown = views({"n": 1}, {"text": "a" * 5000}, {"n": 3}, {"text": "b" * 5000})
    fit(shown, 2000)
    assert [one.truncated for one in shown] == [False, True, False, True]
    assert shown[0].payload == {"n": 1}
    assert sum(len(compact(one.payload)) for one in shown) <= 2000
    assert shown[1].payload is not None
    assert shown[1].payload["text"].startswith("aaaa")


def test_what_fits_is_not_touched() -> None:
    shown = views({"text": "a" * 500})
    fit(shown, 600)
    assert shown[0].payload == {"text": "a" * 500}
    assert not shown[0].truncated


@pytest.mark.parametrize("limit", [2, 50, 500, 5000])
@pytest.mark.parametrize(
    "payload",
    [
        {"text": "x" * 100_000},
        {"blocks": [{"type": "section", "text": LONG}] * 300},
        {f"field{n}": LONG for n in range(300)},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": [LONG] * 50}}}}}}},
        {"x" * 50_000: 1},
        {"type": "event_callback", "event": {"type": "message", "text": "y" * 50_000, "user": "U1"}},
    ],
)
def test_a_shortened_payload_fits(payload: dict[str, Any], limit: int) -> None:
    assert len(compact(shorten(payload, limit))) <= limit

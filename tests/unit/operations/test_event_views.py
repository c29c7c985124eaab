"""What a person or a model is shown of an entry."""

import json
from typing import Any

import pytest

from abe_redis.operations.event_line import summarise
from abe_redis.operations.event_views import DEEPEST, compact, fit, shorten, view
from abe_redis.sanitize.secrets import mask
from abe_redis.sanitize.untrusted import shown
from abe_redis.schemas import EventView

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
        ({"type": "message", "text": LONG}, f"message: '{'x' * 80}'…"),
        ({"type": "message", "channel": {"id": 1}, "user": None, "text": 5}, "message"),
    ],
)
def test_an_event_in_a_line(payload: dict[str, Any], line: str) -> None:
    assert summarise(payload) == line


def test_a_view_has_the_time_and_no_token() -> None:
    seen = view(
        "1732000000123-4", {b"data": b'{"type":"event_callback","token":"secret","event":{"type":"x"}}'}
    )
    assert seen.timestamp.isoformat() == "2024-11-19T07:06:40.123000+00:00"
    assert seen.event_type == "x"
    assert "secret" not in seen.model_dump_json()


@pytest.mark.parametrize("secret", ["xoxb-123456789012-abcdefghijkl", "redis://user:secretsecret@host"])
def test_no_secret_is_cut_in_two(secret: str) -> None:
    for before in range(40, 90):
        text = f"{'x' * before} {secret} and on"
        line = mask(summarise({"type": "message", "text": text}))
        assert "xoxb" not in line
        assert "secret" not in line
        long = shorten({"text": text * 20, "other": text, "n": {"text": text * 9}}, 400)
        assert "secret" not in mask(str(long))
        assert "xoxb" not in mask(str(long))


def test_invisible_characters_stay_as_they_are_until_they_are_shown() -> None:
    line = summarise({"type": "message", "text": "xoxb-1234\u200b5678-secretsecret \u202e \ud800'\\"})
    assert shown(line) == "message: '*** [U+202E] [U+D800]'\\'"


def nested(levels: int) -> dict[str, Any]:
    payload: dict[str, Any] = {"type": "x"}
    for _ in range(levels - 1):
        payload = {"in": payload}
    return payload


def test_a_payload_nested_too_deeply_is_cut() -> None:
    (fine,) = views(nested(DEEPEST))
    odd = view("1-0", {b"data": b'{"in":[' * 250 + b"1" + b"]}" * 250})
    assert (fine.truncated, odd.truncated) == (False, True)
    assert fine.payload == nested(DEEPEST)
    assert json.dumps(odd.payload).count("[") + json.dumps(odd.payload).count("{") == DEEPEST
    assert '"…"' in odd.model_dump_json()


@pytest.mark.parametrize(
    ("entry_id", "moment"),
    [
        ("253402300799999-0", "9999-12-31T23:59:59.999000+00:00"),
        ("253402300800000-0", "9999-12-31T23:59:59.999999+00:00"),
        ("9999999999999999-0", "9999-12-31T23:59:59.999999+00:00"),
        ("18446744073709551615-18446744073709551615", "9999-12-31T23:59:59.999999+00:00"),
        ("0-1", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_any_id_has_a_time(entry_id: str, moment: str) -> None:
    assert view(entry_id, None).timestamp.isoformat() == moment


def test_an_unreadable_entry_is_named() -> None:
    assert view("1-0", None).summary == "the entry is no longer in the stream"
    assert view("1-0", {}).summary == "unreadable: the entry has no field 'data'"
    buried = view("1-0", {b"data": b"{}", b"abe:reason": b"handler failed"})
    assert buried.summary == "event without a type [buried: handler failed]"


def views(*payloads: dict[str, Any]) -> list[EventView]:
    return [view(f"{n}-0", {b"data": json.dumps(payload).encode()}) for n, payload in enumerate(payloads, 1)]


async def test_small_payloads_stay_whole_and_large_ones_share_what_is_left() -> None:
    seen = views({"n": 1}, {"text": "a" * 5000}, {"n": 3}, {"text": "b" * 5000})
    await fit(seen, 2000)
    assert [one.truncated for one in seen] == [False, True, False, True]
    assert seen[0].payload == {"n": 1}
    assert sum(len(compact(one.payload)) for one in seen) <= 2000
    assert seen[1].payload is not None
    assert seen[1].payload["text"].startswith("aaaa")


async def test_a_text_that_fits_is_not_touched() -> None:
    seen = views({"text": "a" * 500})
    await fit(seen, 600)
    assert seen[0].payload == {"text": "a" * 500}
    assert not seen[0].truncated


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

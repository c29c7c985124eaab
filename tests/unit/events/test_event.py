"""The wire format: what is written, what is read, what is refused."""

import json
import math
from typing import Any

import pytest

from abe_redis import Event
from abe_redis.errors import PayloadError, PayloadTooLargeError
from abe_redis.events import codec, slack
from abe_redis.events.codec import UndecodableError

ENVELOPE = {
    "type": "event_callback",
    "token": "verification-token",
    "event_id": "Ev1",
    "event": {"type": "app_mention", "text": "hello"},
}


def deep(levels: int) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    for _ in range(levels):
        payload = {"in": payload}
    return payload


def looped() -> dict[str, Any]:
    payload: dict[str, Any] = {}
    payload["self"] = payload
    return payload


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"text": "naïve 日本 🎉", "null": None, "yes": True, "n": 1.5, "list": [1, [2, {}]]},
        {"lone surrogate": "\ud800"},
        {"control": "\x00\x1b[31m\u202e"},
        {"big": "x" * 1_000_000},
        {"number": 10**30},
        deep(codec.MAX_DEPTH - 1),
    ],
)
def test_what_is_encoded_is_decoded(payload: dict[str, Any]) -> None:
    assert codec.decode({b"data": codec.encode(payload)}) == payload


def test_abe_redis_0_1_0_can_read_it() -> None:
    data = codec.encode({"text": "日本 \ud800"})
    assert json.loads(data.decode("utf-8")) == {"text": "日本 \ud800"}


@pytest.mark.parametrize("payload", [[1], "text", None, 5, b"{}"])
def test_a_payload_is_a_dict(payload: object) -> None:
    with pytest.raises(PayloadError, match="must be a dict"):
        codec.encode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        {"n": math.nan},
        {"n": math.inf},
        {"bytes": b"x"},
        {"set": {1}},
        {("a", "b"): 1},
        {"object": object()},
        deep(100_000),
        looped(),
    ],
)
def test_what_json_has_no_word_for_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match="nothing was published") as caught:
        codec.encode(payload)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("levels", [codec.MAX_DEPTH, 500, 3000])
def test_what_is_nested_deeper_than_parsers_go_is_refused(levels: int) -> None:
    for payload in (deep(levels), {"in": [deep(levels - 1)]}, {"in": ({"in": deep(levels - 2)},)}):
        with pytest.raises(PayloadError, match=r"nested .* nothing was published"):
            codec.encode(payload)


def test_many_parts_are_not_deep_and_brackets_in_a_text_are_none() -> None:
    for payload in ({"list": [{"n": [n]} for n in range(1000)]}, {"text": "[{" * 1000}):
        assert codec.decode({b"data": codec.encode(payload)}) == payload


def test_a_payload_has_a_bound() -> None:
    with pytest.raises(PayloadTooLargeError, match="the limit is 8,388,608"):
        codec.encode({"text": "x" * 10_000_000})


def test_the_token_of_an_envelope_is_left_out() -> None:
    data = codec.encode(ENVELOPE)
    assert b"verification-token" not in data
    assert json.loads(data) == {name: value for name, value in ENVELOPE.items() if name != "token"}
    assert ENVELOPE["token"] == "verification-token", "the caller's dict is not touched"
    assert codec.decode({b"data": codec.encode({"token": "an ordinary field"})}) == {
        "token": "an ordinary field"
    }


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "no field 'data'"),
        ({b"other": b"{}"}, "no field 'data'"),
        ({b"data": b"\xff\xfe"}, "not UTF-8"),
        ({b"data": b""}, "not JSON"),
        ({b"data": b"{"}, "not JSON"),
        ({b"data": b"[]"}, "a JSON list"),
        ({b"data": b'"text"'}, "a JSON str"),
        ({b"data": b"null"}, "a JSON NoneType"),
        ({b"data": b"[" * 100_000}, "nested too deeply"),
    ],
)
def test_what_cannot_be_decoded_says_why(fields: dict[bytes, bytes], why: str) -> None:
    with pytest.raises(UndecodableError, match=why):
        codec.decode(fields)


def test_more_fields_may_stand_beside_data() -> None:
    assert codec.decode({b"origin": b"mcp", b"data": b'{"a":1}'}) == {"a": 1}


def test_an_event_is_its_payload() -> None:
    event = Event({"a": 1}, stream="s", group="g", id="1-0", deliveries=2)
    assert event == {"a": 1}
    assert json.dumps(event) == '{"a": 1}'
    assert (event.stream, event.group, event.id, event.deliveries) == ("s", "g", "1-0", 2)


@pytest.mark.parametrize(
    ("payload", "event_id", "kind"),
    [
        (ENVELOPE, "Ev1", "app_mention"),
        ({**ENVELOPE, "event_id": 5}, None, "app_mention"),
        ({**ENVELOPE, "event": None}, "Ev1", "event_callback"),
        ({"type": "app_mention", "event_id": "Ev1"}, None, "app_mention"),
        ({"type": "app_rate_limited"}, None, "app_rate_limited"),
        ({"type": 7}, None, None),
        ({}, None, None),
    ],
)
def test_what_we_know_of_an_envelope(payload: dict[str, Any], event_id: str | None, kind: str | None) -> None:
    assert slack.slack_event_id(payload) == event_id
    assert slack.event_type(payload) == kind

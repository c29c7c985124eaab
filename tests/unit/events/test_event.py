"""The wire format: what is written, what is read, what is refused."""

import copy
import json
import math
import pickle
import threading
from types import MappingProxyType
from typing import Any

import pytest

from abe_redis import Event
from abe_redis.errors import LeaseLostError, PayloadError, PayloadTooLargeError
from abe_redis.events import codec, slack
from abe_redis.events.codec import UndecodableError
from abe_redis.events.identity import slack_event_id

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
def test_an_encoded_payload_decodes_to_itself(payload: dict[str, Any]) -> None:
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
def test_a_value_that_json_cannot_say_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match="nothing was published") as caught:
        codec.encode(payload)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("levels", [codec.MAX_DEPTH, 500, 3000])
def test_nesting_deeper_than_parsers_go_is_refused(levels: int) -> None:
    for payload in (deep(levels), {"in": [deep(levels - 1)]}, {"in": ({"in": deep(levels - 2)},)}):
        with pytest.raises(PayloadError, match=r"nested .* nothing was published"):
            codec.encode(payload)


def test_many_parts_are_not_deep_and_brackets_in_a_text_are_none() -> None:
    for payload in ({"list": [{"n": [n]} for n in range(1000)]}, {"text": "[{" * 1000}):
        assert codec.decode({b"data": codec.encode(payload)}) == payload


def test_a_payload_has_a_bound() -> None:
    with pytest.raises(PayloadTooLargeError, match="the limit is 8,388,608"):
        codec.encode({"text": "x" * 10_000_000})


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
def test_an_undecodable_entry_says_why(fields: dict[bytes, bytes], why: str) -> None:
    with pytest.raises(UndecodableError, match=why):
        codec.decode(fields)


def test_more_fields_may_stand_beside_data() -> None:
    assert codec.decode({b"origin": b"mcp", b"data": b'{"a":1}'}) == {"a": 1}


SLACKS = [
    ENVELOPE,
    {"type": "app_rate_limited", "token": "verification-token", "team_id": "T1"},
    {"type": "url_verification", "token": "verification-token", "challenge": "x"},
    {"type": "block_actions", "token": "verification-token", "actions": []},
    {"type": "view_submission", "token": "verification-token", "view": {}},
    {"type": "shortcut", "token": "verification-token", "callback_id": "new"},
    {"command": "/deploy", "token": "verification-token", "team_id": "T1"},
    {"type": "hologram_touched", "token": "verification-token", "api_app_id": "A1"},
]


@pytest.mark.parametrize("payload", SLACKS, ids=lambda payload: payload.get("type", "command"))
def test_the_token_of_whatever_is_slacks_is_left_out(payload: dict[str, Any]) -> None:
    data = codec.encode(payload)
    assert b"verification-token" not in data
    assert json.loads(data) == {name: value for name, value in payload.items() if name != "token"}
    assert payload["token"] == "verification-token", "the caller's dict is not touched"


@pytest.mark.parametrize(
    "payload",
    [
        {"token": "an ordinary field"},
        {"type": "message", "token": "mine", "text": "a word that everybody uses"},
        {"command": "/deploy", "token": "mine"},
        {"type": "event_callback", "token": {"not": "a string"}},
        {"type": "event_callback", "event": {"type": "message", "token": "deep inside"}},
        {"type": "tokens", "token": "mine", "team": "red"},
    ],
)
def test_harmless_fields_named_token_are_unchanged(payload: dict[str, Any]) -> None:
    assert json.loads(codec.encode(payload)) == payload


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
def test_an_envelope_shows_its_event_id_and_type(
    payload: dict[str, Any], event_id: str | None, kind: str | None
) -> None:
    assert slack_event_id(payload) == event_id
    assert slack.event_type(payload) == kind


async def copies(event: Event) -> list[Event]:
    return [copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))]  # noqa: S301 - our own


async def test_a_copy_is_a_plain_event_that_belongs_to_no_lease() -> None:
    event = Event(
        {"event": {"blocks": [1]}},
        stream="s",
        group="g",
        id="1-0",
        deliveries=2,
        origin="mcp",
        trace=MappingProxyType({"traceparent": "00-1"}),
        merged_types=("app_mention", "message"),
        holder=Letting(),
    )
    shallow, *deep = await copies(event)
    assert shallow["event"] is event["event"]
    assert all(one["event"] is not event["event"] for one in deep)
    for one in (shallow, *deep):
        assert type(one) is Event
        assert one == event
        assert (one.stream, one.group, one.id, one.deliveries) == ("s", "g", "1-0", 2)
        assert (one.origin, one.trace, one.merged_types) == (
            "mcp",
            {"traceparent": "00-1"},
            event.merged_types,
        )
        for letting_go in (one.nack(), one.bury(reason="no")):
            with pytest.raises(
                LeaseLostError, match=r"Event 1-0 of 's' belongs to no lease here: it is a copy"
            ):
                await letting_go
    await event.nack(delay=1, reason="later")


class Letting:
    """Holds an event as a consumer does: with locks, which no copy can have."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None:
        assert (event.id, delay, reason, counted) == ("1-0", 1, "later", True)

    async def bury(self, event: Event, *, reason: str) -> None:
        raise AssertionError(event, reason)
